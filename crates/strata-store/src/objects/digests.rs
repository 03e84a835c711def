//! Digests of bodies: the MD5 that becomes the ETag, and S3's checksums.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use strata_base::objects::{Expected, ObjectError};

/// A checksum as S3 names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub fn parse(name: &str) -> Result<Self, ObjectError> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name).ok_or_else(|| {
            ObjectError::InvalidName(format!(
                "checksum {name:?} is not known; there are CRC32, CRC32C, CRC64NVME, SHA1, SHA256"
            ))
        })
    }

    /// The CRC's parameters and its width in bytes; the SHAs have none.
    fn crc(self) -> Option<(CrcAlgorithm, usize)> {
        match self {
            Self::Crc32 => Some((CrcAlgorithm::Crc32IsoHdlc, 4)),
            Self::Crc32c => Some((CrcAlgorithm::Crc32Iscsi, 4)),
            Self::Crc64Nvme => Some((CrcAlgorithm::Crc64Nvme, 8)),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// Digest of a short text, raw.
    fn of(self, bytes: &[u8]) -> Vec<u8> {
        let mut state = State::new(self);
        state.update(bytes);
        state.finish()
    }
}

enum State {
    Crc(crc_fast::Digest, usize),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl State {
    fn new(algorithm: Algorithm) -> Self {
        match (algorithm.crc(), algorithm) {
            (Some((crc, width)), _) => Self::Crc(crc_fast::Digest::new(crc), width),
            (None, Algorithm::Sha1) => Self::Sha1(Sha1::new()),
            (None, _) => Self::Sha256(Sha256::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(state, _) => state.update(bytes),
            Self::Sha1(state) => state.update(bytes),
            Self::Sha256(state) => state.update(bytes),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc(state, width) => big_endian(state.finalize(), width),
            Self::Sha1(state) => state.finalize().to_vec(),
            Self::Sha256(state) => state.finalize().to_vec(),
        }
    }
}

/// Computes MD5 and the chosen checksums in one pass.
#[derive(Default)]
pub struct Digester {
    md5: Md5,
    sums: Vec<(Algorithm, State)>,
}

/// What a body turned out to be.
#[derive(Clone, Debug, Default)]
pub struct Digests {
    /// Lower-case hex.
    pub md5: String,
    /// Base64, by name.
    pub checksums: BTreeMap<String, String>,
}

impl Digester {
    /// Prepares the digests that `expected` and `compute` name.
    pub fn new(expected: &Expected, compute: &[String]) -> Result<Self, ObjectError> {
        let mut wanted = Vec::new();
        for name in expected.keys().chain(compute).filter(|name| *name != "MD5") {
            let algorithm = Algorithm::parse(name)?;
            if !wanted.contains(&algorithm) {
                wanted.push(algorithm);
            }
        }
        let sums = wanted.into_iter().map(|algorithm| (algorithm, State::new(algorithm))).collect();
        Ok(Self { md5: Md5::new(), sums })
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        for (_, state) in &mut self.sums {
            state.update(bytes);
        }
    }

    pub fn finish(self) -> Digests {
        let checksums = self
            .sums
            .into_iter()
            .map(|(algorithm, state)| (algorithm.name().to_string(), BASE64.encode(state.finish())));
        Digests { md5: hex::encode(self.md5.finalize()), checksums: checksums.collect() }
    }
}

impl Digests {
    /// Is the body what its sender said it is?
    pub fn check(&self, expected: &Expected) -> Result<(), ObjectError> {
        for (name, expected) in expected {
            let actual = match name.as_str() {
                "MD5" => Some(&self.md5),
                name => self.checksums.get(name),
            };
            if actual != Some(expected) {
                return Err(ObjectError::Digest {
                    name: name.clone(),
                    expected: expected.clone(),
                    actual: actual.cloned().unwrap_or_default(),
                });
            }
        }
        Ok(())
    }
}

/// The ETag of an object made of parts: `md5(md5s)-N`. `None` where an ETag is no MD5.
pub fn multipart_etag<'a>(etags: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut md5 = Md5::new();
    let mut count = 0;
    for etag in etags {
        md5.update(hex::decode(etag).ok()?);
        count += 1;
    }
    Some(format!("{}-{count}", hex::encode(md5.finalize())))
}

/// The checksum of a whole object from its parts' checksums (base64) and sizes:
/// the CRC of all bytes (`FULL_OBJECT`), or the digest of the digests and their number (`COMPOSITE`).
pub fn multipart_checksum(algorithm: Algorithm, kind: &str, parts: &[(&str, u64)]) -> Option<String> {
    let raw: Option<Vec<(Vec<u8>, u64)>> =
        parts.iter().map(|(sum, size)| Some((BASE64.decode(sum).ok()?, *size))).collect();
    let raw = raw?;
    if kind == "COMPOSITE" {
        let digests: Vec<u8> = raw.iter().flat_map(|(sum, _)| sum.iter().copied()).collect();
        return Some(format!("{}-{}", BASE64.encode(algorithm.of(&digests)), raw.len()));
    }
    let (crc, width) = algorithm.crc()?;
    let mut whole = 0;
    for (i, (sum, size)) in raw.iter().enumerate() {
        let sum = sum.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        whole = if i == 0 { sum } else { crc_fast::checksum_combine(crc, whole, sum, *size) };
    }
    Some(BASE64.encode(big_endian(whole, width)))
}

fn big_endian(value: u64, width: usize) -> Vec<u8> {
    value.to_be_bytes().into_iter().skip(8 - width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(body: &[u8]) -> Digests {
        let names: Vec<String> = Algorithm::ALL.iter().map(|algorithm| algorithm.name().into()).collect();
        let mut digester = Digester::new(&Expected::new(), &names).unwrap();
        digester.update(body);
        digester.finish()
    }

    #[test]
    fn check_values() {
        // The check values of the CRC catalogue and of FIPS 180, for "123456789".
        let of = digests(b"123456789");
        assert_eq!(of.md5, "25f9e794323b453885f5181f1b624d0b");
        let hex = |name: &str| hex::encode(BASE64.decode(&of.checksums[name]).unwrap());
        assert_eq!(hex("CRC32"), "cbf43926");
        assert_eq!(hex("CRC32C"), "e3069283");
        assert_eq!(hex("CRC64NVME"), "ae8b14860a799888");
        assert_eq!(hex("SHA1"), "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
        assert_eq!(hex("SHA256"), "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225");
    }

    #[test]
    fn a_full_object_crc_is_the_crc_of_all_bytes() {
        let body: Vec<u8> = (0..100_000u32).map(|i| (i ^ i >> 7) as u8).collect();
        let whole = digests(&body);
        let parts: Vec<(Digests, u64)> =
            body.chunks(33_333).map(|part| (digests(part), part.len() as u64)).collect();
        for name in ["CRC32", "CRC32C", "CRC64NVME"] {
            let sums: Vec<(&str, u64)> =
                parts.iter().map(|(part, size)| (part.checksums[name].as_str(), *size)).collect();
            let algorithm = Algorithm::parse(name).unwrap();
            assert_eq!(
                multipart_checksum(algorithm, "FULL_OBJECT", &sums).as_ref(),
                Some(&whole.checksums[name]),
                "{name}"
            );
        }
        let sums = [(parts[0].0.checksums["SHA256"].as_str(), 1)];
        assert_eq!(multipart_checksum(Algorithm::Sha256, "FULL_OBJECT", &sums), None);
    }

    #[test]
    fn composites_say_how_many_parts() {
        let part = digests(b"123456789");
        let sums = [(part.checksums["SHA256"].as_str(), 9); 2];
        let composite = multipart_checksum(Algorithm::Sha256, "COMPOSITE", &sums).unwrap();
        // printf of the two raw digests | sha256sum, base64
        let raw = BASE64.decode(&part.checksums["SHA256"]).unwrap();
        assert_eq!(composite, format!("{}-2", BASE64.encode(Sha256::digest([raw.clone(), raw].concat()))));
        assert_eq!(
            multipart_etag(["25f9e794323b453885f5181f1b624d0b"].into_iter()).unwrap(),
            "5927c5d64d94a5786f90003aa26d0159-1"
        );
    }

    #[test]
    fn a_wrong_digest_is_named() {
        let of = digests(b"x");
        let wrong = Expected::from([("CRC32".to_string(), "AAAAAA==".to_string())]);
        assert!(of.check(&wrong).unwrap_err().to_string().starts_with("CRC32 of the body is"));
        assert!(Digester::new(&Expected::new(), &["CRC8".to_string()]).is_err());
    }
}
