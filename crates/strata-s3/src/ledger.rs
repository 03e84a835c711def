//! The fidelity ledger of S3: every operation of its model, and how far it is honoured.

use strata_wire::Label;

enum Entry {
    Real,
    Partial(&'static str),
    Refused(&'static str),
}

use Entry::{Partial, Real, Refused};

/// All operations of the S3 model (2006-03-01), by name, with their labels.
pub fn operations() -> Vec<(&'static str, Label)> {
    LEDGER.iter().map(|(name, entry)| (*name, entry.label())).collect()
}

/// The label of one operation.
pub fn label(operation: &str) -> Option<Label> {
    let place = LEDGER.binary_search_by_key(&operation, |(name, _)| name).ok()?;
    LEDGER.get(place).map(|(_, entry)| entry.label())
}

impl Entry {
    fn label(&self) -> Label {
        match self {
            Real => Label::Real,
            Partial(how) => Label::Partial((*how).into()),
            Refused(why) => Label::Refused((*why).into()),
        }
    }
}

#[rustfmt::skip]
const LEDGER: &[(&str, Entry)] = &[
    ("AbortMultipartUpload", Real),
    ("CompleteMultipartUpload", Real),
    ("CopyObject", Real),
    ("CreateBucket", Partial("access lists, object lock, tags and directory buckets are refused; any region is accepted")),
    ("CreateBucketMetadataConfiguration", Refused("metadata tables are not implemented: list the bucket instead")),
    ("CreateBucketMetadataTableConfiguration", Refused("metadata tables are not implemented: list the bucket instead")),
    ("CreateMultipartUpload", Real),
    ("CreateSession", Refused("directory buckets are not implemented: use an ordinary bucket")),
    ("DeleteBucket", Real),
    ("DeleteBucketAnalyticsConfiguration", Refused("storage reports and tiers are not implemented: list the bucket instead")),
    ("DeleteBucketCors", Refused("cross-origin rules are not implemented")),
    ("DeleteBucketEncryption", Refused("encryption at rest is not implemented: encrypt the disk instead")),
    ("DeleteBucketIntelligentTieringConfiguration", Refused("storage reports and tiers are not implemented: list the bucket instead")),
    ("DeleteBucketInventoryConfiguration", Refused("storage reports and tiers are not implemented: list the bucket instead")),
    ("DeleteBucketLifecycle", Refused("lifecycle rules are not implemented: delete old objects with DeleteObjects")),
    ("DeleteBucketMetadataConfiguration", Refused("metadata tables are not implemented: list the bucket instead")),
    ("DeleteBucketMetadataTableConfiguration", Refused("metadata tables are not implemented: list the bucket instead")),
    ("DeleteBucketMetricsConfiguration", Refused("storage reports and tiers are not implemented: list the bucket instead")),
    ("DeleteBucketOwnershipControls", Refused("access lists are not implemented: objects belong to the account and are private")),
    ("DeleteBucketPolicy", Refused("bucket policies are not implemented: every key of the account may use every bucket")),
    ("DeleteBucketReplication", Refused("replication is not implemented: copy with CopyObject")),
    ("DeleteBucketTagging", Refused("buckets cannot be tagged; objects can")),
    ("DeleteBucketWebsite", Refused("websites are not served: use presigned URLs")),
    ("DeleteObject", Real),
    ("DeleteObjectAnnotation", Refused("annotations are not implemented: use user metadata or object tags")),
    ("DeleteObjectTagging", Real),
    ("DeleteObjects", Real),
    ("DeletePublicAccessBlock", Refused("nothing is public here, so there is nothing to block")),
    ("GetBucketAbac", Refused("access by tags is not implemented")),
    ("GetBucketAccelerateConfiguration", Partial("answers that it was never set: there is nothing to accelerate")),
    ("GetBucketAcl", Partial("answers that the owner has full control: access lists cannot be set")),
    ("GetBucketAnalyticsConfiguration", Refused("storage reports and tiers are not implemented: list the bucket instead")),
    ("GetBucketCors", Partial("answers that there are no rules: they cannot be set")),
    ("GetBucketEncryption", Partial("answers that there is none: objects are stored unencrypted")),
    ("GetBucketIntelligentTieringConfiguration", Refused("storage reports and tiers are not implemented: list the bucket instead")),
    ("GetBucketInventoryConfiguration", Refused("storage reports and tiers are not implemented: list the bucket instead")),
    ("GetBucketLifecycle", Refused("deprecated by AWS; lifecycle rules are not implemented: delete old objects with DeleteObjects")),
    ("GetBucketLifecycleConfiguration", Partial("answers that there are no rules: they cannot be set")),
    ("GetBucketLocation", Real),
    ("GetBucketLogging", Partial("answers that logging is off: it cannot be turned on")),
    ("GetBucketMetadataConfiguration", Refused("metadata tables are not implemented: list the bucket instead")),
    ("GetBucketMetadataTableConfiguration", Refused("metadata tables are not implemented: list the bucket instead")),
    ("GetBucketMetricsConfiguration", Refused("storage reports and tiers are not implemented: list the bucket instead")),
    ("GetBucketNotification", Refused("deprecated by AWS; ask GetBucketNotificationConfiguration instead")),
    ("GetBucketNotificationConfiguration", Partial("answers that there are none: they cannot be set")),
    ("GetBucketOwnershipControls", Partial("answers BucketOwnerEnforced: access lists are not implemented")),
    ("GetBucketPolicy", Partial("answers that there is none: policies cannot be set")),
    ("GetBucketPolicyStatus", Partial("answers that there is no policy: policies cannot be set")),
    ("GetBucketReplication", Partial("answers that there is none: it cannot be set")),
    ("GetBucketRequestPayment", Partial("answers BucketOwner: nobody pays")),
    ("GetBucketTagging", Partial("answers that there are no tags: buckets cannot be tagged")),
    ("GetBucketVersioning", Partial("answers that versioning was never enabled: it cannot be")),
    ("GetBucketWebsite", Partial("answers that there is none: websites are not served")),
    ("GetObject", Real),
    ("GetObjectAcl", Partial("answers that the owner has full control: access lists cannot be set")),
    ("GetObjectAnnotation", Refused("annotations are not implemented: use user metadata or object tags")),
    ("GetObjectAttributes", Real),
    ("GetObjectLegalHold", Refused("object lock is not implemented")),
    ("GetObjectLockConfiguration", Partial("answers that there is none: objects cannot be locked")),
    ("GetObjectRetention", Refused("object lock is not implemented")),
    ("GetObjectTagging", Real),
    ("GetObjectTorrent", Refused("torrents are not served: use GetObject")),
    ("GetPublicAccessBlock", Partial("answers that there is none: nothing is public anyhow")),
    ("HeadBucket", Real),
    ("HeadObject", Real),
    ("ListBucketAnalyticsConfigurations", Refused("storage reports and tiers are not implemented: list the bucket instead")),
    ("ListBucketIntelligentTieringConfigurations", Refused("storage reports and tiers are not implemented: list the bucket instead")),
    ("ListBucketInventoryConfigurations", Refused("storage reports and tiers are not implemented: list the bucket instead")),
    ("ListBucketMetricsConfigurations", Refused("storage reports and tiers are not implemented: list the bucket instead")),
    ("ListBuckets", Real),
    ("ListDirectoryBuckets", Refused("directory buckets are not implemented: use ListBuckets")),
    ("ListMultipartUploads", Real),
    ("ListObjectAnnotations", Refused("annotations are not implemented: use user metadata or object tags")),
    ("ListObjectVersions", Partial("lists the one version of each object, whose id is null: versioning cannot be enabled")),
    ("ListObjects", Real),
    ("ListObjectsV2", Real),
    ("ListParts", Real),
    ("PutBucketAbac", Refused("access by tags is not implemented")),
    ("PutBucketAccelerateConfiguration", Refused("there is nothing to accelerate")),
    ("PutBucketAcl", Refused("access lists are not implemented: objects belong to the account and are private")),
    ("PutBucketAnalyticsConfiguration", Refused("storage reports and tiers are not implemented: list the bucket instead")),
    ("PutBucketCors", Refused("cross-origin rules are not implemented")),
    ("PutBucketEncryption", Refused("encryption at rest is not implemented: encrypt the disk instead")),
    ("PutBucketIntelligentTieringConfiguration", Refused("storage reports and tiers are not implemented: list the bucket instead")),
    ("PutBucketInventoryConfiguration", Refused("storage reports and tiers are not implemented: list the bucket instead")),
    ("PutBucketLifecycle", Refused("deprecated by AWS; lifecycle rules are not implemented: delete old objects with DeleteObjects")),
    ("PutBucketLifecycleConfiguration", Refused("lifecycle rules are not implemented: delete old objects with DeleteObjects")),
    ("PutBucketLogging", Refused("access logs are not written to buckets: see the cloud's own log")),
    ("PutBucketMetricsConfiguration", Refused("storage reports and tiers are not implemented: list the bucket instead")),
    ("PutBucketNotification", Refused("bucket notifications are not implemented")),
    ("PutBucketNotificationConfiguration", Refused("bucket notifications are not implemented")),
    ("PutBucketOwnershipControls", Refused("access lists are not implemented: objects belong to the account and are private")),
    ("PutBucketPolicy", Refused("bucket policies are not implemented: every key of the account may use every bucket")),
    ("PutBucketReplication", Refused("replication is not implemented: copy with CopyObject")),
    ("PutBucketRequestPayment", Refused("requests cost nothing here")),
    ("PutBucketTagging", Refused("buckets cannot be tagged; objects can")),
    ("PutBucketVersioning", Refused("versioning is not implemented: write to a new key instead")),
    ("PutBucketWebsite", Refused("websites are not served: use presigned URLs")),
    ("PutObject", Real),
    ("PutObjectAcl", Refused("access lists are not implemented: objects belong to the account and are private")),
    ("PutObjectAnnotation", Refused("annotations are not implemented: use user metadata or object tags")),
    ("PutObjectLegalHold", Refused("object lock is not implemented")),
    ("PutObjectLockConfiguration", Refused("object lock is not implemented")),
    ("PutObjectRetention", Refused("object lock is not implemented")),
    ("PutObjectTagging", Real),
    ("PutPublicAccessBlock", Refused("nothing is public here, so there is nothing to block")),
    ("RenameObject", Refused("renaming exists in directory buckets only: use CopyObject and DeleteObject")),
    ("RestoreObject", Refused("nothing is archived, so there is nothing to restore")),
    ("SelectObjectContent", Refused("queries on objects are not implemented: read the object")),
    ("UpdateBucketMetadataAnnotationTableConfiguration", Refused("metadata tables are not implemented: list the bucket instead")),
    ("UpdateBucketMetadataInventoryTableConfiguration", Refused("metadata tables are not implemented: list the bucket instead")),
    ("UpdateBucketMetadataJournalTableConfiguration", Refused("metadata tables are not implemented: list the bucket instead")),
    ("UpdateObjectEncryption", Refused("encryption at rest is not implemented: encrypt the disk instead")),
    ("UploadPart", Real),
    ("UploadPartCopy", Real),
    ("WriteGetObjectResponse", Refused("object lambdas are not implemented")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_complete() {
        assert!(LEDGER.is_sorted_by(|(a, _), (b, _)| a < b));
        assert_eq!(label("PutObject"), Some(Label::Real));
        assert!(matches!(label("PutBucketVersioning"), Some(Label::Refused(_))));
        assert_eq!(label("PutEverything"), None);
    }

    #[test]
    fn the_ledger_is_the_models() {
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../apis/s3.json");
        let Ok(text) = std::fs::read_to_string(model) else {
            println!("skipped the_ledger_is_the_models: no {model}");
            return;
        };
        for (name, _) in LEDGER {
            assert!(text.contains(&format!("\"{name}\"")), "{name} is not in the model");
        }
    }
}
