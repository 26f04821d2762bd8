//! Sheets that tests of several commands price calls by: retail prices of a US account with places, origins and fees, and where numbers are.

pub const HEADER: &str = "prefix,destination,rate,connect_fee,initial,increment,effective_from,effective_to,interrate,intrarate,ijrate,origin_group,blocked\n";
pub const RETAIL: &str = "1,US,0.0300,0,6,6,,,,,,,\n1212,NY,0.0200,0,6,6,,,0.0150,0.0180,0.0250,,\n1201,NJ,0.0200,0.01,60,60,,,0.0150,0.0180,,,\n1800,Toll-free,0.0300,0,6,6,,,,,,,\n\
    33,France,0.0500,0,1,1,,,,,,,\n33,France,0.0100,0,1,1,,2026-11-20,,,,eea,\n336,France mobile,0.0800,0,1,1,,,,,,,\n33,France,,0,1,1,,,,,,invalid,yes\n44,UK,0.0400,0,1,1,,,,,,,\n";
pub const NUMBERS: &str = "npanxx,state,lata,ocn,rate_center\n212555,NY,132,9104,NWYRCYZN01\n201555,NJ,224,9206,HACKENSACK\n787555,PR,,,\n416555,ON,,,\n";
