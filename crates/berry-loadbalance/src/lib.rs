//! berry-loadbalance
