//! `tacit bridge check` says what would keep the bridge from running, and changes nothing.

use std::path::Path;
use std::process::Command;

use tacit_ports::free_address;

use crate::process::tacit;

struct Case {
    directory: tempfile::TempDir,
}

impl Case {
    /// A configuration with everything that is read from elsewhere.
    fn new(change: impl FnOnce(&Path, String) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["bridge".to_owned()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(path.join("password"), "secret\n").unwrap();
        std::fs::write(path.join("ca.pem"), certificate.pem()).unwrap();
        std::fs::write(path.join("proxy.pem"), certificate.pem()).unwrap();
        std::fs::write(path.join("proxy.key"), key.serialize_pem()).unwrap();
        let text = format!(
            "state_dir = {:?}\nstatus_listen = '{}'\n[ironic]\nurl = 'https://ironic.example'\nca_file = {:?}\n\
             auth = {{ type = 'http_basic', username = 'bridge', password_file = {:?} }}\n\
             [proxy]\nlisten = '{}'\npublic_url = 'https://bridge.example:6390'\ncertificate = {:?}\nkey = {:?}\n",
            path.join("state"),
            free_address(),
            path.join("ca.pem"),
            path.join("password"),
            free_address(),
            path.join("proxy.pem"),
            path.join("proxy.key"),
        );
        std::fs::write(path.join("bridge.toml"), change(path, text)).unwrap();
        Self { directory }
    }

    /// What it says, or nothing.
    fn check(&self, credentials: Option<&Path>) -> Result<(), String> {
        let mut command = Command::new(tacit());
        command.args(["bridge", "check", "--config"]).arg(self.directory.path().join("bridge.toml"));
        command.env_remove("CREDENTIALS_DIRECTORY");
        if let Some(credentials) = credentials {
            command.env("CREDENTIALS_DIRECTORY", credentials);
        }
        let output = command.output().unwrap();
        assert!(!self.directory.path().join("state/nodes").exists(), "it made something");
        let said = String::from_utf8(output.stderr).unwrap();
        if output.status.success() { Ok(()) } else { Err(said) }
    }
}

#[test]
fn what_is_right_passes_and_nothing_is_made() {
    let case = Case::new(|_, text| text);
    case.check(None).unwrap();
    assert!(!case.directory.path().join("state").exists());
    // A bridge that runs has the address already.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let busy = Case::new(|_, text| {
        let old = text.lines().find(|line| line.starts_with("listen")).unwrap().to_owned();
        text.replace(&old, &format!("listen = '{address}'"))
    });
    busy.check(None).unwrap();
}

#[test]
fn what_the_bridge_could_not_open_is_said_in_one_line() {
    for (file, content) in [
        ("password", None),
        ("ca.pem", None),
        ("ca.pem", Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
        ("proxy.pem", None),
        ("proxy.key", None),
        ("proxy.key", Some("no key")),
    ] {
        let case = Case::new(|path, text| {
            match content {
                Some(content) => std::fs::write(path.join(file), content).unwrap(),
                None => std::fs::remove_file(path.join(file)).unwrap(),
            }
            text
        });
        let said = case.check(None).unwrap_err();
        assert!(said.contains(file) && said.trim().lines().count() == 1, "{file}: {said}");
    }
    let another_key = Case::new(|path, text| {
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(path.join("proxy.key"), key.serialize_pem()).unwrap();
        text
    });
    let said = another_key.check(None).unwrap_err();
    assert!(said.contains("proxy.pem"), "{said}");
    let nobody = Case::new(|_, text| text.replace("https://bridge.example:6390", "bridge.example:6390"));
    assert!(nobody.check(None).unwrap_err().contains("public_url"));
    let elsewhere = Case::new(|_, text| {
        let old = text.lines().find(|line| line.starts_with("listen")).unwrap().to_owned();
        text.replace(&old, "listen = '192.0.2.1:6390'")
    });
    assert!(elsewhere.check(None).unwrap_err().contains("192.0.2.1:6390"));
    let damaged = Case::new(|_, text| text);
    let authority = damaged.directory.path().join("state/pki");
    std::fs::create_dir_all(&authority).unwrap();
    std::fs::write(authority.join("conductor.crt"), "nothing").unwrap();
    assert!(damaged.check(None).unwrap_err().contains("state/pki"));
}

#[test]
fn secrets_of_root_are_read_where_systemd_puts_them() {
    let credentials = tempfile::tempdir().unwrap();
    let case = Case::new(|path, text| {
        for secret in ["password", "proxy.key", "proxy.pem"] {
            std::fs::rename(path.join(secret), credentials.path().join(secret)).unwrap();
        }
        text
    });
    assert!(case.check(None).unwrap_err().contains("password"));
    case.check(Some(credentials.path())).unwrap();
}
