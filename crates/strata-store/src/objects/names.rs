//! Which names buckets and keys may have.

use std::net::Ipv4Addr;

use strata_base::objects::ObjectError;

/// AWS's rules for general purpose buckets.
pub fn check_bucket(name: &str) -> Result<(), ObjectError> {
    let wrong = |rule: &str| Err(ObjectError::InvalidName(format!("bucket name {name:?}: {rule}")));
    if !(3..=63).contains(&name.len()) {
        return wrong("must be 3 to 63 characters long");
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !name.bytes().all(|b| plain(b) || b == b'-' || b == b'.') {
        return wrong("may have lower-case letters, digits, hyphens and dots only");
    }
    if !name.bytes().next().is_some_and(plain) || !name.bytes().last().is_some_and(plain) {
        return wrong("must begin and end with a letter or digit");
    }
    if name.contains("..") {
        return wrong("must not have two dots in a row");
    }
    if name.parse::<Ipv4Addr>().is_ok() {
        return wrong("must not look like an IP address");
    }
    const PREFIXES: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
    if let Some(prefix) = PREFIXES.iter().find(|prefix| name.starts_with(**prefix)) {
        return wrong(&format!("must not begin with {prefix}"));
    }
    const SUFFIXES: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    if let Some(suffix) = SUFFIXES.iter().find(|suffix| name.ends_with(**suffix)) {
        return wrong(&format!("must not end with {suffix}"));
    }
    Ok(())
}

/// Any text of 1 to 1024 bytes is a key.
pub fn check_key(key: &str) -> Result<(), ObjectError> {
    match key.len() {
        0 => Err(ObjectError::InvalidName("the key is empty".into())),
        1..=1024 => Ok(()),
        length => Err(ObjectError::InvalidName(format!("the key is {length} bytes long; 1024 is the most"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names() {
        for good in ["abc", "my.bucket-1", "123", &"a".repeat(63)] {
            assert!(check_bucket(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in
            ["ab", &long, "Abc", "a_b", "-ab", "ab-", "a..b", "10.0.0.1", "xn--a", "a-s3alias", "é..", ""]
        {
            assert!(check_bucket(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_bounded_in_bytes() {
        assert!(check_key(&"é".repeat(512)).is_ok());
        assert!(check_key(&"é".repeat(513)).is_err());
        assert!(check_key("").is_err());
        assert!(check_key("../..\0/").is_ok());
    }
}
