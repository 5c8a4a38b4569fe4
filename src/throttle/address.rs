//! What counts as one address. Pure.

use std::net::{IpAddr, Ipv6Addr};

/// An address as bounds count it: one of IPv4, or a network of 64 bits of IPv6, which is the least that one
/// customer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address(Ipv6Addr);

impl Address {
    /// What an address counts as.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) >> 64 << 64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Address {
        Address::of(text.parse().unwrap())
    }

    /// [O40] Addresses of one IPv6 network of 64 bits are one, and mapped ones are what they stand for.
    #[test]
    fn an_address_is_what_one_customer_has() {
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:203.0.113.7"), of("203.0.113.7"));
        assert_ne!(of("203.0.113.7"), of("203.0.113.8"));
    }
}
