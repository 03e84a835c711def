//! Which cloud this is: its region and account, and the ARNs that follow.

use rand::RngExt;

/// Region and account that ARNs carry. Configured once, at start.
#[derive(Clone, Debug)]
pub struct Cloud {
    pub region: String,
    pub account: String,
}

impl Default for Cloud {
    fn default() -> Self {
        Self { region: "us-east-1".into(), account: "123456789012".into() }
    }
}

impl Cloud {
    /// `arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE`.
    pub fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.region, self.account)
    }

    /// The ARN of a SageMaker resource. SageMaker lowers the case of names
    /// inside ARNs, e.g. `training-job/my-job` for the job `My-Job`.
    pub fn sagemaker_arn(&self, kind: &str, name: &str) -> String {
        self.arn("sagemaker", &format!("{kind}/{}", name.to_ascii_lowercase()))
    }
}

/// A fresh identifier in the form of AWS's request ids (a version 4 UUID).
pub fn request_id() -> String {
    let mut b: [u8; 16] = rand::rng().random();
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let mut text = String::with_capacity(36);
    for (i, byte) in b.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_carry_lower_case_names() {
        assert_eq!(
            Cloud::default().sagemaker_arn("training-job", "My-Job"),
            "arn:aws:sagemaker:us-east-1:123456789012:training-job/my-job"
        );
    }

    #[test]
    fn request_ids_are_uuids() {
        let id = request_id();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert_ne!(id, request_id());
    }
}
