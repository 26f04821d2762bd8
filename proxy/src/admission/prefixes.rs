//! Longest prefix over digits: a ten-way tree in one vector. Country codes, number types, risk ranges and the dial
//! lists of a trunk are such maps.

/// Digits → the value of the longest prefix put in. Keys and numbers are ASCII digits.
#[derive(Debug, Clone)]
pub struct PrefixMap<T> {
    nodes: Vec<Node<T>>,
}

#[derive(Debug, Clone)]
struct Node<T> {
    /// 0 = none: the root is nobody's child.
    next: [u32; 10],
    value: Option<T>,
}

impl<T: Copy> Default for PrefixMap<T> {
    fn default() -> Self {
        PrefixMap { nodes: vec![Node { next: [0; 10], value: None }] }
    }
}

impl<T: Copy> PrefixMap<T> {
    /// Puts a value at a prefix, over the one that was there. Anything but digits, or nothing, is not put and gives
    /// false.
    pub fn put(&mut self, prefix: &str, value: T) -> bool {
        if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_digit()) {
            return false;
        }
        let mut at = 0;
        for b in prefix.bytes() {
            let digit = usize::from(b - b'0');
            at = match self.nodes[at].next[digit] {
                0 => {
                    self.nodes.push(Node { next: [0; 10], value: None });
                    let new = self.nodes.len() - 1;
                    self.nodes[at].next[digit] = new as u32;
                    new
                }
                next => next as usize,
            };
        }
        self.nodes[at].value = Some(value);
        true
    }

    /// The longest prefix of `digits` and its length.
    pub fn longest(&self, digits: &str) -> Option<(usize, T)> {
        let mut at = 0;
        let mut best = None;
        for (i, b) in digits.bytes().enumerate() {
            let Some(digit) = b.checked_sub(b'0').filter(|d| *d < 10) else { break };
            at = match self.nodes[at].next[usize::from(digit)] {
                0 => break,
                next => next as usize,
            };
            best = self.nodes[at].value.map(|v| (i + 1, v)).or(best);
        }
        best
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn longest_prefix_equals_a_linear_scan(keys in proptest::collection::vec("[0-3]{1,5}", 0..30), number in "[0-3]{0,8}") {
            let mut map = PrefixMap::default();
            for (i, key) in keys.iter().enumerate() {
                assert!(map.put(key, i));
            }
            let scan = keys.iter().enumerate().filter(|(_, k)| number.starts_with(k.as_str())).max_by_key(|(i, k)| (k.len(), *i));
            assert_eq!(map.longest(&number), scan.map(|(i, k)| (k.len(), i)));
        }
    }

    #[test]
    fn only_digits_are_prefixes() {
        let mut map = PrefixMap::default();
        assert!(!map.put("", ()) && !map.put("+4", ()) && map.is_empty());
    }
}
