//! Who may give orders besides the holders of a certificate: those who know the token, as with IPA (IPA contract
//! §1.8). And when nobody may any more.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Why the API is closed for the rest of this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closed {
    /// A tenant's rescue user has the machine now; its network stays.
    Rescued,
    /// Nothing may reach or leave the machine.
    LockedDown,
}

/// What outlives a restart of the agent within one boot of the kernel.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Kept {
    boot_id: String,
    token: Option<String>,
    /// The token came over the network.
    #[serde(default)]
    given: bool,
    closed: Option<Closed>,
}

/// The token and the door.
pub struct Access {
    path: PathBuf,
    kept: Mutex<Kept>,
    closed: watch::Sender<Option<Closed>>,
}

impl std::fmt::Debug for Access {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("closed", &self.closed.borrow()).finish_non_exhaustive()
    }
}

impl Access {
    /// Keeps `access.json` in `directory`. What an earlier life of the agent in this boot was told wins over `token`.
    pub fn new(directory: &Path, boot_id: &str, token: Option<String>) -> Self {
        let path = directory.join("access.json");
        let earlier = fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok())
            .filter(|kept| kept.boot_id == boot_id);
        let kept = match earlier {
            Some(kept) => Kept { token: kept.token.or(token), ..kept },
            None => Kept { boot_id: boot_id.to_owned(), token, given: false, closed: None },
        };
        let closed = watch::Sender::new(kept.closed);
        Self { path, kept: Mutex::new(kept), closed }
    }

    /// Whether this is the token. Takes the same time whatever is wrong with it; without a token there is no right one.
    pub fn permits(&self, given: &str) -> bool {
        let kept = self.lock();
        let Some(token) = kept.token.as_deref().filter(|token| !token.is_empty()) else { return false };
        let (given, token) = (digest(&SHA256, given.as_bytes()), digest(&SHA256, token.as_bytes()));
        let differing =
            given.as_ref().iter().zip(token.as_ref()).fold(0, |differing, (a, b)| differing | (a ^ b));
        std::hint::black_box(differing) == 0
    }

    pub fn token(&self) -> Option<String> {
        self.lock().token.clone()
    }

    /// Whether the token is the one that the agent began this boot with.
    pub fn has_mediums_token(&self) -> bool {
        let kept = self.lock();
        kept.token.is_some() && !kept.given
    }

    /// From the next request on only this token is right.
    ///
    /// # Errors
    ///
    /// When it cannot be kept; then the old one stays.
    pub fn replace_token(&self, token: &str) -> io::Result<()> {
        let mut kept = self.lock();
        let new = Kept { token: Some(token.to_owned()), given: true, ..kept.clone() };
        self.save(&new)?;
        *kept = new;
        Ok(())
    }

    /// Takes a token when there is none; tells whether `token` is the one in force now.
    ///
    /// # Errors
    ///
    /// As [`Access::replace_token`].
    pub fn take_token(&self, token: &str) -> io::Result<bool> {
        let known = self.token().is_some();
        if !known {
            self.replace_token(token)?;
        }
        Ok(!known || self.permits(token))
    }

    /// No connection is taken any more, and those that are there end with their next answer; for the rest of this boot.
    ///
    /// # Errors
    ///
    /// When that cannot be kept across a restart of the agent; then the door stays open.
    pub fn close(&self, why: Closed) -> io::Result<()> {
        let mut kept = self.lock();
        let new = Kept { closed: Some(why), ..kept.clone() };
        self.save(&new)?;
        *kept = new;
        self.closed.send_replace(Some(why));
        Ok(())
    }

    /// Why the API is closed, as soon as it is.
    pub fn closed(&self) -> watch::Receiver<Option<Closed>> {
        self.closed.subscribe()
    }

    fn save(&self, kept: &Kept) -> io::Result<()> {
        let new = self.path.with_extension("json.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(kept)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_token_there_is_no_right_one() {
        let directory = tempfile::tempdir().unwrap();
        for none in [None, Some(String::new())] {
            let access = Access::new(directory.path(), "boot", none);
            assert!(!access.permits("") && !access.permits("x"));
        }
        let access = Access::new(directory.path(), "boot", Some("secret".into()));
        assert!(access.permits("secret"));
        for wrong in ["", "secre", "secret ", "Secret", "secretsecret"] {
            assert!(!access.permits(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_new_token_is_the_only_one_also_after_a_restart_but_not_after_a_boot() {
        let directory = tempfile::tempdir().unwrap();
        let access = Access::new(directory.path(), "boot", Some("old".into()));
        access.replace_token("new").unwrap();
        for access in [access, Access::new(directory.path(), "boot", Some("old".into()))] {
            assert!(access.permits("new") && !access.permits("old"));
            assert!(!access.has_mediums_token());
        }
        assert!(Access::new(directory.path(), "another boot", Some("old".into())).permits("old"));
    }

    #[test]
    fn the_first_token_is_taken_and_no_second_one() {
        let directory = tempfile::tempdir().unwrap();
        let access = Access::new(directory.path(), "boot", None);
        assert!(!access.has_mediums_token());
        assert!(access.take_token("first").unwrap());
        assert!(access.take_token("first").unwrap());
        assert!(!access.has_mediums_token());
        let medium = Access::new(&directory.path().join("medium"), "boot", Some("m".into()));
        assert!(medium.take_token("m").unwrap());
        assert!(medium.has_mediums_token());
        assert!(!access.take_token("second").unwrap());
        assert!(access.permits("first") && !access.permits("second"));
    }

    #[test]
    fn what_cannot_be_kept_is_not_done() {
        let directory = tempfile::tempdir().unwrap();
        let access = Access::new(&directory.path().join("not there"), "boot", Some("old".into()));
        assert!(access.replace_token("new").is_err());
        assert!(access.close(Closed::LockedDown).is_err());
        assert!(access.permits("old"));
        assert_eq!(*access.closed().borrow(), None);
    }

    #[test]
    fn closed_stays_closed_for_this_boot() {
        let directory = tempfile::tempdir().unwrap();
        let access = Access::new(directory.path(), "boot", None);
        let seen = access.closed();
        access.close(Closed::Rescued).unwrap();
        assert_eq!(*seen.borrow(), Some(Closed::Rescued));
        let again = Access::new(directory.path(), "boot", None);
        assert_eq!(*again.closed().borrow(), Some(Closed::Rescued));
        assert_eq!(*Access::new(directory.path(), "another", None).closed().borrow(), None);
    }
}
