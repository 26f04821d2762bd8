//! What one proxy decides, the others do, and a stage that dies is taken over.
