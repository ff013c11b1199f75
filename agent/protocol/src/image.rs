//! `image_info`, the argument of `write_image` (IPA contract §2.2), with keys of our own.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// What to write and how to know that it is right. Unknown keys are ignored, as IPA does.
///
/// At least one of digest (`checksum` or `os_hash_*`), `image_signature` and `bmap_url` vouches for the image; all that
/// are given must agree with it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageInfo {
    pub id: String,
    /// Tried in order.
    pub urls: Vec<String>,
    #[serde(default)]
    pub disk_format: Option<String>,
    /// Hexadecimal digits, `ALGORITHM:DIGITS`, or the URL of a checksum file (IPA contract §8.3).
    #[serde(default)]
    pub checksum: Option<String>,
    /// Name as Python's hashlib has it; with it, `os_hash_value` is used and not `checksum`.
    #[serde(default)]
    pub os_hash_algo: Option<String>,
    /// As `checksum`.
    #[serde(default)]
    pub os_hash_value: Option<String>,
    /// `partition` for the content of a root file system; everything else is a whole disk.
    #[serde(default)]
    pub image_type: Option<String>,
    #[serde(default)]
    pub node_uuid: Option<String>,
    #[serde(default)]
    pub configdrive: Option<String>,
    /// Raw `Authorization` header value, base64. Used on direct connections only, for the origin of the first URL alone.
    #[serde(default)]
    pub image_request_authorization: Option<String>,
    /// `http_basic`, with user and password: `image_request_authorization` wins over it.
    #[serde(default)]
    pub image_server_auth_strategy: Option<String>,
    #[serde(default)]
    pub image_server_user: Option<String>,
    #[serde(default)]
    pub image_server_password: Option<String>,
    /// How the URLs are reached: over lent connections, or dialled as IPA does. Ours.
    #[serde(default)]
    pub transport: Transport,
    /// URL of a block map: only what it lists is fetched and written. Ours.
    #[serde(default)]
    pub bmap_url: Option<String>,
    /// Digest of the block map itself, sha256 or better; required with `bmap_url`. Ours.
    #[serde(default)]
    pub bmap_checksum: Option<String>,
    /// A minisign signature over the image as served, by a key that the node's configuration pins: its text, or its
    /// URL. Ours.
    #[serde(default)]
    pub image_signature: Option<String>,
    /// Ours.
    #[serde(default)]
    pub write_mode: WriteMode,
    /// Ours.
    #[serde(default)]
    pub verify: Verify,
    #[serde(flatten)]
    pub partition: PartitionInfo,
}

/// Without secrets: the authorization, and what a config drive holds.
impl fmt::Debug for ImageInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageInfo")
            .field("id", &self.id)
            .field("urls", &self.urls.len())
            .field("transport", &self.transport)
            .field("write_mode", &self.write_mode)
            .field("verify", &self.verify)
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}

/// What a disk gets around a partition image (IPA contract §2.2, §8.5). Sizes in MiB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartitionInfo {
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub root_mb: Option<u64>,
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub swap_mb: Option<u64>,
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub ephemeral_mb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_format: Option<String>,
    #[serde(deserialize_with = "flag", skip_serializing_if = "is_false")]
    pub preserve_ephemeral: bool,
    /// `uefi` or `bios`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deploy_boot_mode: Option<String>,
    /// `gpt` or `msdos`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_label: Option<String>,
    /// Deprecated in Ironic; everything boots from its own disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_option: Option<String>,
}

impl ImageInfo {
    /// Whether partitions are to be made for the image.
    pub fn is_partition_image(&self) -> bool {
        self.image_type.as_deref() == Some("partition")
    }
}

/// Which connector fetches an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// The agent dials the URL, as stock Ironic expects.
    #[default]
    Direct,
    /// Over a connection that the conductor lent (`POST /v2/lend`): the agent dials nothing.
    Lent,
}

/// What is written of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WriteMode {
    #[default]
    All,
    /// Only where the disk holds something else; what is there is read first.
    Changed,
}

/// What is read back from the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// What makes the disk bootable.
    #[default]
    Revealed,
    /// All that was written.
    Full,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// A number of MiB, also as a text, as Ironic's `instance_info` has it; null and the empty text are none.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    struct Number;
    impl Visitor<'_> for Number {
        type Value = Option<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number of MiB")
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
            Ok(Some(value))
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
            u64::try_from(value).map(Some).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            match text.trim() {
                "" => Ok(None),
                digits => {
                    digits.parse().map(Some).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
                }
            }
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }
    deserializer.deserialize_any(Number)
}

/// A boolean, also as a text in one of Ironic's spellings.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct Flag;
    impl Visitor<'_> for Flag {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("true or false")
        }

        fn visit_bool<E: de::Error>(self, value: bool) -> Result<bool, E> {
            Ok(value)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<bool, E> {
            match text.trim().to_ascii_lowercase().as_str() {
                "1" | "t" | "true" | "on" | "y" | "yes" => Ok(true),
                "" | "0" | "f" | "false" | "off" | "n" | "no" => Ok(false),
                _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
            }
        }

        fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
            Ok(false)
        }
    }
    deserializer.deserialize_any(Flag)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn info(more: &Value) -> Result<ImageInfo, serde_json::Error> {
        let mut object = json!({"id": "i", "urls": ["http://h/i"]});
        for (key, value) in more.as_object().unwrap() {
            object[key] = value.clone();
        }
        serde_json::from_value(object)
    }

    #[test]
    fn what_ironic_sends_is_understood() {
        let sent = info(&json!({
            "container_format": "bare", "stream_raw_images": true, "image_type": "partition",
            "root_mb": 10240, "root_gb": "10", "swap_mb": "512", "ephemeral_mb": 0, "ephemeral_format": null,
            "preserve_ephemeral": "False", "deploy_boot_mode": "uefi", "boot_option": "local",
            "kernel": null, "ramdisk": null,
        }))
        .unwrap();
        assert!(sent.is_partition_image());
        let wanted = PartitionInfo {
            root_mb: Some(10240),
            swap_mb: Some(512),
            ephemeral_mb: Some(0),
            deploy_boot_mode: Some("uefi".into()),
            boot_option: Some("local".into()),
            ..PartitionInfo::default()
        };
        assert_eq!(sent.partition, wanted);
        assert_eq!((sent.write_mode, sent.verify), (WriteMode::All, Verify::Revealed));
        assert!(info(&json!({"preserve_ephemeral": true})).unwrap().partition.preserve_ephemeral);
    }

    #[test]
    fn what_is_none_of_the_values_is_refused() {
        for wrong in [
            json!({"write_mode": "some"}),
            json!({"verify": "no"}),
            json!({"root_mb": -1}),
            json!({"root_mb": "ten"}),
            json!({"swap_mb": 1.5}),
            json!({"preserve_ephemeral": "perhaps"}),
        ] {
            assert!(info(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let secret = info(&json!({"image_request_authorization": "QmFzaWM=", "image_server_password": "pw"}));
        let shown = format!("{:?}", secret.unwrap());
        assert!(!shown.contains("QmFzaWM") && !shown.contains("pw"), "{shown}");
    }
}
