//! Whether what arrived is what the server has.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, Digest as Crc};
use md5::Digest as _;

/// What the content of an object has to match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::objects) struct Checks {
    /// An MD5 sum that the server states as such, in hexadecimal digits.
    md5: Option<String>,
    /// A tag that looks like an MD5 sum. Servers may make it in other ways.
    tag: Option<String>,
    /// A cyclic redundancy check in hexadecimal digits.
    crc: Option<(&'static str, String)>,
}

/// What came of the checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::objects) enum Verdict {
    /// All that there is to check matches.
    Good,
    /// The tag is not the MD5 sum of this content: damaged, or not a sum at all. This is the sum.
    OtherTag(String),
    /// It is damaged.
    Bad(String),
}

impl Checks {
    /// A sum in base64, as in `Content-MD5`.
    pub(in crate::objects) fn md5(&mut self, base64: &str) {
        if let Some(sum) = hexadecimal(base64, 16) {
            self.md5 = Some(sum);
        }
    }

    /// An entity tag, quotes and all. That of an object that came in parts has a dash.
    pub(in crate::objects) fn tag(&mut self, tag: &str) {
        let tag = tag.trim_matches('"');
        if tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            self.tag = Some(tag.to_ascii_lowercase());
        }
    }

    /// A sum in base64 that may never have been checked by anybody.
    pub(in crate::objects) fn stated_md5(&mut self, base64: &str) {
        self.tag = hexadecimal(base64, 16);
    }

    /// A check in base64; one over parts has a dash and says nothing about the whole.
    pub(in crate::objects) fn crc(&mut self, name: &'static str, base64: &str) {
        let width = if name == "CRC64NVME" { 8 } else { 4 };
        if let Some(sum) = hexadecimal(base64, width) {
            self.crc = Some((name, sum));
        }
    }

    /// Starts checking content.
    pub(in crate::objects) fn start(&self) -> Running {
        let algorithm = |name: &str| match name {
            "CRC32" => CrcAlgorithm::Crc32IsoHdlc,
            "CRC64NVME" => CrcAlgorithm::Crc64Nvme,
            _ => CrcAlgorithm::Crc32Iscsi,
        };
        Running {
            md5: (self.md5.is_some() || (self.tag.is_some() && self.crc.is_none())).then(md5::Md5::new),
            crc: self.crc.as_ref().map(|(name, _)| Crc::new(algorithm(name))),
            checks: self.clone(),
        }
    }
}

fn hexadecimal(base64: &str, width: usize) -> Option<String> {
    let bytes = STANDARD.decode(base64.trim()).ok()?;
    (bytes.len() == width).then(|| hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Checks that go along with content.
#[derive(Debug)]
pub(in crate::objects) struct Running {
    md5: Option<md5::Md5>,
    crc: Option<Crc>,
    checks: Checks,
}

impl Running {
    pub(in crate::objects) fn update(&mut self, bytes: &[u8]) {
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some(crc) = &mut self.crc {
            crc.update(bytes);
        }
    }

    pub(in crate::objects) fn finish(self) -> Verdict {
        if let (Some(crc), Some((name, wanted))) = (self.crc, &self.checks.crc) {
            let sum = format!("{:0width$x}", crc.finalize(), width = wanted.len());
            if sum != *wanted {
                return Verdict::Bad(format!("its {name} is {sum} and not {wanted}"));
            }
        }
        let Some(sum) = self.md5.map(|md5| hex(&md5.finalize())) else { return Verdict::Good };
        match (self.checks.md5, self.checks.tag) {
            (Some(wanted), _) if wanted != sum => Verdict::Bad(format!("its MD5 is {sum} and not {wanted}")),
            (None, Some(tag)) if tag != sum => Verdict::OtherTag(sum),
            _ => Verdict::Good,
        }
    }
}
