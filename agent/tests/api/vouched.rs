//! What may vouch for an image, beside sha256: other digests, checksum files, signatures, block maps.

use std::sync::atomic::AtomicU64;

use minisign::KeyPair;
use serde_json::{Value, json};
use sha3::Digest as _;
use tacit_imaging::{BmapOptions, make_bmap};
use tacit_protocol::medium::ImagePolicy;

use crate::support::{Lender, Served, TestAgent, finished, image, sha256, write_request};

const MIB: usize = 1 << 20;
const URL: &str = "http://images.example/disk.raw";
const SIDE: &str = "http://sums.example/side";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the disk got the image, which is smaller: but for the tables, which fit the disk.
fn holds(agent: &TestAgent, image: &[u8]) -> bool {
    let disk = std::fs::read(agent.disk()).unwrap();
    disk[MIB..image.len() - MIB] == image[MIB..image.len() - MIB] && &disk[512..520] == b"EFI PART"
}

/// Lends connections, writes the image as `info` says (without the digest that is there by default) and gives the
/// operation when it is over.
fn written(agent: &TestAgent, served: Vec<(&'static str, Vec<u8>)>, info: &Value) -> Value {
    let served = served.into_iter().map(|(url, bytes)| (url, Served::whole(bytes)));
    let lender = Lender::new(&agent.caller, served);
    // More than one: a fetch of a part may leave its connection behind.
    let _lent: Vec<_> = (0..8).map(|_| lender.lend()).collect();
    let answer = agent.put("/v2/operations/deploy", &request(agent, info));
    assert_eq!(answer.status, 201, "{}", answer.text());
    finished(agent, "deploy")
}

fn request(agent: &TestAgent, info: &Value) -> Value {
    let mut more = json!({"os_hash_algo": null, "os_hash_value": null});
    for (key, value) in info.as_object().unwrap() {
        more[key] = value.clone();
    }
    write_request(agent, URL, "", more)
}

#[test]
fn sha3_and_md5_where_it_was_enabled() {
    let image = image(4 * MIB);
    let agent = TestAgent::with_disk(Some(16 << 20));
    let digest = hex(&sha3::Sha3_512::digest(&image)).to_uppercase();
    let info = json!({"os_hash_algo": "SHA3-512", "os_hash_value": digest});
    let operation = written(&agent, vec![(URL, image.clone())], &info);
    assert_eq!(operation["state"], "succeeded", "{operation}");
    assert!(holds(&agent, &image));

    let md5 = json!({"checksum": hex(&md5::Md5::digest(&image))});
    let enabled = ImagePolicy { md5_enabled: true, ..ImagePolicy::default() };
    let lenient = TestAgent::with_policy(Some(16 << 20), enabled);
    assert_eq!(written(&lenient, vec![(URL, image.clone())], &md5)["state"], "succeeded");
    let strict = TestAgent::with_disk(Some(16 << 20));
    let refused = written(&strict, vec![(URL, image)], &md5);
    assert_eq!(refused["error"]["type"], "InvalidCommandParamsError", "{refused}");
    assert_eq!(refused["error"]["disk"], "untouched");
}

#[test]
fn a_checksum_file_names_the_image() {
    let image = image(4 * MIB);
    let agent = TestAgent::with_disk(Some(16 << 20));
    let sums = format!(
        "# sums\n{}  other.raw\nSHA256 (disk.raw) = {}\n",
        "0".repeat(64),
        sha256(&image).to_uppercase()
    );
    let served = vec![(URL, image.clone()), (SIDE, sums.into_bytes())];
    let operation = written(&agent, served, &json!({"checksum": SIDE}));
    assert_eq!(operation["state"], "succeeded", "{operation}");
    assert!(holds(&agent, &image));

    let agent = TestAgent::with_disk(Some(16 << 20));
    let other = format!("{}  other.raw\n{0}  third.raw\n", sha256(&image));
    let served = vec![(URL, image), (SIDE, other.into_bytes())];
    let operation = written(&agent, served, &json!({"checksum": SIDE}));
    assert_eq!(operation["error"]["type"], "ImageDownloadError", "{operation}");
    assert_eq!(operation["error"]["disk"], "untouched");
}

#[test]
fn only_what_a_pinned_key_signed_becomes_bootable() {
    let image = image(4 * MIB);
    let keys = KeyPair::generate_unencrypted_keypair().unwrap();
    let signature = minisign::sign(None, &keys.sk, &image[..], Some("disk 1"), None).unwrap().into_string();
    let policy = ImagePolicy {
        image_signature_keys: vec![keys.pk.to_base64()],
        require_image_signature: true,
        ..ImagePolicy::default()
    };
    let start = || TestAgent::with_policy(Some(16 << 20), policy.clone());

    // By address, and it alone vouches; then as a text, beside a digest.
    let agent = start();
    let served = vec![(URL, image.clone()), (SIDE, signature.clone().into_bytes())];
    let operation = written(&agent, served, &json!({"image_signature": SIDE}));
    assert_eq!(operation["state"], "succeeded", "{operation}");
    assert!(holds(&agent, &image));
    let agent = start();
    let both = json!({"image_signature": signature, "checksum": sha256(&image)});
    assert_eq!(written(&agent, vec![(URL, image.clone())], &both)["state"], "succeeded");

    // The digest is right, the signature is another image's.
    let agent = start();
    let mut forged = image.clone();
    forged[2 * MIB] ^= 1;
    let info = json!({"image_signature": signature, "checksum": sha256(&forged)});
    let operation = written(&agent, vec![(URL, forged)], &info);
    assert_eq!(operation["error"]["type"], "ImageChecksumError", "{operation}");
    assert_eq!(operation["error"]["disk"], "not-bootable");
    let disk = std::fs::read(agent.disk()).unwrap();
    assert!(disk[..MIB].iter().chain(&disk[15 * MIB..]).all(|byte| *byte == 0));

    // A stranger's signature, or none: nothing is written at all.
    let stranger = KeyPair::generate_unencrypted_keypair().unwrap();
    let foreign = minisign::sign(None, &stranger.sk, &image[..], None, None).unwrap().into_string();
    let agent = start();
    let info = json!({"image_signature": foreign, "checksum": sha256(&image)});
    let operation = written(&agent, vec![(URL, image.clone())], &info);
    assert_eq!(operation["error"]["type"], "ImageChecksumError", "{operation}");
    assert_eq!(operation["error"]["disk"], "untouched");
    let agent = start();
    let operation = written(&agent, vec![(URL, image.clone())], &json!({"checksum": sha256(&image)}));
    assert_eq!(operation["error"]["disk"], "untouched", "{operation}");
    assert!(operation["error"]["details"].as_str().unwrap().contains("image_signature"), "{operation}");
    assert!(std::fs::read(agent.disk()).unwrap().iter().all(|byte| *byte == 0xA5));
}

#[test]
fn a_pinned_block_map_vouches_for_an_image() {
    let mut image = image(16 * MIB);
    image[4 * MIB..12 * MIB].fill(0);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.raw");
    std::fs::write(&path, &image).unwrap();
    let map = make_bmap(&path, BmapOptions::default(), &AtomicU64::new(0), &|| false).unwrap().to_string();
    let info = json!({"bmap_url": SIDE, "bmap_checksum": format!("sha256:{}", sha256(map.as_bytes()))});

    let agent = TestAgent::with_disk(Some(32 << 20));
    let served = || vec![(URL, image.clone()), (SIDE, map.clone().into_bytes())];
    let operation = written(&agent, served(), &info);
    assert_eq!(operation["state"], "succeeded", "{operation}");
    assert!(holds(&agent, &image));

    let agent = TestAgent::with_disk(Some(32 << 20));
    let mut other = image.clone();
    other[13 * MIB] ^= 1;
    let operation = written(&agent, vec![(URL, other), (SIDE, map.clone().into_bytes())], &info);
    assert_eq!(operation["error"]["type"], "ImageChecksumError", "{operation}");
    assert_eq!(operation["error"]["disk"], "not-bootable");

    let agent = TestAgent::with_disk(Some(32 << 20));
    let wrong = json!({"bmap_url": SIDE, "bmap_checksum": "0".repeat(64)});
    let operation = written(&agent, served(), &wrong);
    assert_eq!(operation["error"]["type"], "ImageChecksumError", "{operation}");
    assert_eq!(operation["error"]["disk"], "untouched");
}

#[test]
fn progress_says_what_it_counts() {
    let image = image(24 * MIB);
    let agent = TestAgent::with_disk(Some(32 << 20));
    let operation =
        written(&agent, vec![(URL, image.clone())], &json!({"checksum": sha256(&image), "verify": "full"}));
    assert_eq!(operation["state"], "succeeded", "{operation}");
    let events = agent.get("/v2/events?after=0").json();
    let progress: Vec<&Value> =
        events["events"].as_array().unwrap().iter().filter(|event| event["kind"] == "progress").collect();
    let last = progress.last().expect("progress");
    assert_eq!((&last["unit"], &last["total"]), (&json!("bytes"), &json!(image.len())), "{last}");
    assert_eq!(last["done"], last["total"]);
    let stages: Vec<&str> = progress.iter().filter_map(|event| event["stage"].as_str()).collect();
    assert!(stages.contains(&"verify") && stages.contains(&"write"), "{stages:?}");
}
