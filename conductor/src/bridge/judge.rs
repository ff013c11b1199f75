//! After a restart of an agent: was something lost with it?
//!
//! Ironic reads an empty command list as "the machine came back from the reboot that I asked for" and goes on with the
//! next step, whatever happened to the one before (IPA contract §3.6, obstacle 7). So the bridge decides, before
//! Ironic is told anything, and in doubt against the operation: a step that was done twice or not at all is worse
//! than one that failed.

use serde::Deserialize;

use super::config::Mode;
use super::session::{Known, Life, Origin, Session};

/// A command of `GET /v1/commands/`, as much as the bridge looks at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Listed {
    pub(super) id: String,
    #[serde(rename = "command_name")]
    pub(super) name: String,
    #[serde(rename = "command_status")]
    pub(super) status: String,
}

impl Listed {
    pub(super) fn finished(&self) -> bool {
        self.status != "RUNNING"
    }

    /// Without extension: failed commands are listed under their whole name (IPA contract §1.4).
    pub(super) fn bare_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }
}

/// Whether a command changes something: what is lost with a restart if it is under way then, and what Ironic does not
/// wait for by itself.
pub(super) fn works(bare_name: &str) -> bool {
    !(bare_name.starts_with("get_") || matches!(bare_name, "sync" | "collect_system_logs" | "set_node_info"))
}

/// What a restart means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The agent still knows what it was told: go on.
    Continues,
    /// Nothing was under way: a fresh boot, as Ironic will read it.
    Fresh,
    /// Ironic must learn of a failure.
    Lost(String),
}

/// Commands after which the agent is expected to be gone.
const LAST_WORDS: [&str; 4] = ["power_off", "run_image", "lockdown", "finalize_rescue"];

/// Judges an agent that is in another life, `now`, than the session's. `listed` is its command list now; `watched` is
/// whether this bridge has followed the session without a gap.
pub(super) fn judge(session: &Session, listed: &[Listed], now: &Life, watched: bool) -> Verdict {
    let same_boot = session.life.boot_id == now.boot_id;
    let what = if same_boot { "the agent restarted" } else { "the machine rebooted" };
    if !session.announced {
        // Ironic was never told where the agent is, so it never gave it a command.
        return Verdict::Fresh;
    }
    let last = session.last.as_ref();
    let kept = match last {
        Some(last) => listed.iter().any(|command| command.id == last.id),
        None => !listed.is_empty(),
    };
    if kept {
        return Verdict::Continues;
    }
    // Of a heartbeat that was taken nobody knows whether Ironic acted on it: only a success bears to be passed over.
    let told =
        last.is_some_and(|last| last.succeeded && last.reported || LAST_WORDS.contains(&last.name.as_str()));
    if let Some(last) = last.filter(|last| works(&last.name) && !told) {
        let state =
            if last.finished { "before Ironic was told that it had ended" } else { "in the middle of it" };
        return Verdict::Lost(format!("{}: {what} {state}", last.name));
    }
    match session.origin {
        // Ironic makes another token for each restart of its own.
        Origin::Lookup => Verdict::Lost(format!("{what} without Ironic's doing")),
        // Through the proxy no command goes unnoted.
        Origin::Medium if watched || session.mode == Mode::Proxy => Verdict::Fresh,
        // To the agent itself one may have gone while nobody looked; Ironic would not take another certificate then.
        Origin::Medium if told && session.life.certificate != now.certificate => Verdict::Fresh,
        Origin::Medium => {
            Verdict::Lost(format!("{what} while nobody watched it; what ran there is not known"))
        }
    }
}

/// What is known of the newest command, given a list of the same life. `None`: nothing new.
pub(super) fn note(last: Option<&Known>, listed: &[Listed]) -> Option<Known> {
    let newest = listed.last()?;
    match last {
        // A list from before the command that is known.
        Some(known) if !known.id.is_empty() && !listed.iter().any(|command| command.id == known.id) => None,
        Some(known) if known.id == newest.id && known.finished == newest.finished() => None,
        _ => Some(Known {
            id: newest.id.clone(),
            name: newest.bare_name().to_owned(),
            finished: newest.finished(),
            succeeded: newest.status == "SUCCEEDED",
            reported: false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::session::tests::session;
    use super::*;

    fn listed(id: &str, status: &str) -> Listed {
        Listed { id: id.into(), name: "execute_deploy_step".into(), status: status.into() }
    }

    fn known(name: &str, finished: bool, reported: bool) -> Option<Known> {
        Some(Known { id: "1".into(), name: name.into(), finished, succeeded: finished, reported })
    }

    fn rebooted() -> Life {
        Life { boot_id: "another".into(), certificate: "another".into(), ..session().life }
    }

    fn with(origin: Origin, last: Option<Known>) -> Session {
        Session { origin, last, ..session() }
    }

    #[test]
    fn an_agent_that_kept_its_journal_goes_on() {
        let session = with(Origin::Lookup, known("execute_deploy_step", false, false));
        assert_eq!(judge(&session, &[listed("1", "FAILED")], &session.life, true), Verdict::Continues);
    }

    #[test]
    fn a_step_that_is_gone_was_lost() {
        for origin in [Origin::Lookup, Origin::Medium] {
            for last in
                [known("execute_deploy_step", false, false), known("execute_deploy_step", true, false)]
            {
                let session = with(origin, last);
                for list in [vec![], vec![listed("2", "SUCCEEDED")]] {
                    let verdict = judge(&session, &list, &rebooted(), true);
                    let Verdict::Lost(why) = verdict else { panic!("{verdict:?}") };
                    assert!(why.starts_with("execute_deploy_step: the machine rebooted"), "{why}");
                }
            }
        }
    }

    #[test]
    fn a_reboot_after_a_step_is_ironics_own_where_it_keeps_the_token() {
        let last = || known("execute_clean_step", true, true);
        assert_eq!(judge(&with(Origin::Medium, last()), &[], &rebooted(), true), Verdict::Fresh);
        assert_eq!(judge(&with(Origin::Medium, last()), &[], &rebooted(), false), Verdict::Fresh);
        // Otherwise it would have made another token.
        assert!(matches!(judge(&with(Origin::Lookup, last()), &[], &rebooted(), true), Verdict::Lost(_)));
    }

    #[test]
    fn a_failure_that_ironic_may_have_passed_over_is_told_again() {
        for mode in [Mode::Relay, Mode::Proxy] {
            let failed = Known { succeeded: false, ..known("execute_clean_step", true, true).unwrap() };
            let session = Session { mode, ..with(Origin::Medium, Some(failed)) };
            for watched in [true, false] {
                assert!(matches!(judge(&session, &[], &rebooted(), watched), Verdict::Lost(_)));
            }
        }
    }

    #[test]
    fn where_ironic_would_refuse_nothing_only_what_was_watched_is_believed() {
        let last = known("execute_clean_step", true, true);
        let session = Session { mode: Mode::Relay, ..with(Origin::Medium, last) };
        let from_files = Life { certificate: session.life.certificate.clone(), ..rebooted() };
        assert_eq!(judge(&session, &[], &from_files, true), Verdict::Fresh);
        assert!(matches!(judge(&session, &[], &from_files, false), Verdict::Lost(_)));
        assert_eq!(judge(&session, &[], &rebooted(), false), Verdict::Fresh);
    }

    #[test]
    fn a_reboot_before_any_command_is_harmless_if_it_was_before_any_command() {
        assert_eq!(judge(&with(Origin::Medium, None), &[], &rebooted(), true), Verdict::Fresh);
        let relayed = Session { mode: Mode::Relay, ..with(Origin::Medium, None) };
        assert!(matches!(judge(&relayed, &[], &rebooted(), false), Verdict::Lost(_)));
        assert_eq!(judge(&with(Origin::Medium, None), &[], &rebooted(), false), Verdict::Fresh);
        // What only tells something leaves nothing behind.
        let asked = with(Origin::Medium, known("get_deploy_steps", true, false));
        assert_eq!(judge(&asked, &[], &rebooted(), true), Verdict::Fresh);
    }

    #[test]
    fn before_ironic_knows_of_the_agent_nothing_can_be_lost() {
        for origin in [Origin::Lookup, Origin::Medium] {
            let session = Session { announced: false, ..with(origin, None) };
            assert_eq!(judge(&session, &[], &rebooted(), false), Verdict::Fresh);
        }
    }

    #[test]
    fn what_ends_the_agent_is_no_loss() {
        let session = with(Origin::Medium, known("run_image", false, false));
        assert_eq!(judge(&session, &[], &rebooted(), true), Verdict::Fresh);
    }

    #[test]
    fn a_list_from_before_the_newest_command_tells_nothing() {
        let sent = known("execute_deploy_step", false, false).unwrap();
        let older = Listed { id: "0".into(), name: "get_deploy_steps".into(), status: "SUCCEEDED".into() };
        assert!(note(Some(&sent), std::slice::from_ref(&older)).is_none());
        assert!(note(Some(&sent), &[older, listed("1", "SUCCEEDED")]).unwrap().finished);
    }

    #[test]
    fn only_news_are_noted() {
        let first = note(None, &[listed("1", "RUNNING")]).unwrap();
        assert_eq!((first.finished, first.name.as_str()), (false, "execute_deploy_step"));
        assert!(note(Some(&first), &[listed("1", "RUNNING")]).is_none());
        let ended = note(Some(&first), &[listed("1", "FAILED")]).unwrap();
        assert!(ended.finished && !ended.succeeded && !ended.reported);
        let told = Known { reported: true, ..ended };
        assert!(note(Some(&told), &[listed("1", "FAILED")]).is_none());
        assert_eq!(note(Some(&told), &[listed("1", "FAILED"), listed("2", "RUNNING")]).unwrap().id, "2");
        let dotted =
            Listed { id: "3".into(), name: "deploy.execute_deploy_step".into(), status: "FAILED".into() };
        assert_eq!(note(None, &[dotted]).unwrap().name, "execute_deploy_step");
    }
}
