//! The step itself: check, find the file systems, fetch, write, prove.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tacit_model::{ProgressUnit, Proof, ProofResult};

use super::mount::{Intent, Mounted};
use super::place::find;
use super::request::{Action, FileRequest, MAX_CONTENT, parse};
use crate::machine::Machine;
use crate::managers::{
    Argument, DRY_RUN, RemoteFile, Route, StepContext, StepError, StepSpecification, TRANSPORT, VERIFY_CA,
};
use tacit_model::expand;

pub(crate) const INJECT_FILES: &str = "inject_files";

pub(crate) const STEPS: &[StepSpecification] = &[StepSpecification {
    name: INJECT_FILES,
    interface: "deploy",
    clean: None,
    deploy: Some(0),
    service: Some(0),
    abortable: false,
    arguments: &[
        Argument {
            name: "files",
            description: "Files to write or to delete: path, partition, content, checksum, deleted, mode, dirmode, \
                          owner, group.",
            required: false,
        },
        TRANSPORT,
        VERIFY_CA,
        DRY_RUN,
    ],
    run: inject_files,
}];

/// Kernel parameter with the step's priority in deployment and service (IPA contract §9.1).
const PRIORITY: &str = "ipa-inject-files-priority";
const HIGHEST_PRIORITY: i32 = 99;

/// The step's priority: above 0, it runs in every deployment without being asked for.
///
/// # Errors
///
/// When the parameter is no priority: files that are silently not written would be missed late.
pub(crate) fn priority(machine: &Machine) -> Result<i32, StepError> {
    let Some(text) = machine.kernel_parameter(PRIORITY) else { return Ok(0) };
    let priority = text.parse().ok().filter(|priority| (0..=HIGHEST_PRIORITY).contains(priority));
    priority.ok_or_else(|| StepError::InvalidParameter {
        parameter: format!("the kernel parameter {PRIORITY}"),
        problem: format!("must be a number from 0 to {HIGHEST_PRIORITY}, not '{text}'"),
    })
}

/// Writes the files of `properties.inject_files` and of the argument `files` into the deployed system.
///
/// # Errors
///
/// [`StepError::InvalidParameter`] with everything that is wrong with the request, before anything is touched; whatever
/// fetching failed with; [`StepError::Failed`] with every file that could not be written.
fn inject_files(machine: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    let dry_run = context.dry_run()?;
    let invalid = |problems: Vec<String>| StepError::InvalidParameter {
        parameter: "files".to_owned(),
        problem: problems.join("; "),
    };
    let requests = parse(context.node, context.args.get("files")).map_err(invalid)?;
    let route = Route::from_context(context)?;
    let urls = urls(&requests, context).map_err(invalid)?;
    let (mut places, mut problems): (BTreeMap<PathBuf, Vec<usize>>, Vec<String>) = Default::default();
    for (at, request) in requests.iter().enumerate() {
        match find(machine, context, request) {
            Ok(node) => places.entry(node).or_default().push(at),
            Err(problem) => problems.push(format!("{}: {problem}", request.shown())),
        }
    }
    if !problems.is_empty() {
        return Err(failed(problems.join("; "), false));
    }
    if dry_run {
        let plan: Vec<Value> = places
            .iter()
            .map(|(node, files)| {
                let files: Vec<Value> =
                    files.iter().map(|at| describe(&requests[*at], urls[*at].as_deref())).collect();
                json!({"device": node, "files": files})
            })
            .collect();
        return Ok(json!({ "plan": plan }));
    }
    let contents = contents(&requests, &urls, &route, context)?;
    let mut proofs = Vec::new();
    let mut done = 0;
    for (node, files) in &places {
        let (shown, touched) = (node.display().to_string(), done > 0);
        let mut actions = Vec::new();
        {
            let mounted = mount(node, Intent::Write, touched)?;
            for &at in files {
                if context.observer.cancelled() {
                    return Err(StepError::Cancelled { done, total: requests.len() });
                }
                let (now, total) = (done as u64, requests.len() as u64);
                context.observer.progress("inject", &shown, now, total, ProgressUnit::Regions);
                match act(&mounted, &requests[at], contents[at].as_deref()) {
                    Ok(action) => actions.push(action),
                    Err(error) => problems.push(format!("{}: {error}", requests[at].shown())),
                }
                done += 1;
            }
            if let Err(error) = mounted.tree().sync() {
                problems.push(format!("{shown}: {error}"));
            }
        }
        let mounted = mount(node, Intent::Read, true)?;
        let mut verification = Vec::new();
        // The last word about a path counts, when several requests name it.
        for (position, &at) in files.iter().enumerate() {
            if files[position + 1..].iter().any(|later| requests[*later].path == requests[at].path) {
                continue;
            }
            match verify(&mounted, &requests[at], contents[at].as_deref()) {
                Ok(None) => verification.push(format!("{} is as asked for", requests[at].shown())),
                Ok(Some(difference)) => problems.push(format!("{}: {difference}", requests[at].shown())),
                Err(error) => problems.push(format!("{}: reading it back: {error}", requests[at].shown())),
            }
        }
        proofs.push(Proof {
            device: shown,
            method: "inject-files".to_owned(),
            actions,
            verification,
            result: ProofResult::Proven,
            ..Proof::default()
        });
    }
    if problems.is_empty() { Ok(json!({ "proofs": proofs })) } else { Err(failed(problems.join("; "), true)) }
}

/// The URL of each file that is to be fetched, without placeholders.
fn urls(requests: &[FileRequest], context: &StepContext<'_>) -> Result<Vec<Option<String>>, Vec<String>> {
    let mut problems = Vec::new();
    let urls = requests
        .iter()
        .map(|request| match &request.action {
            Action::Fetch(url, _) => expand(url, context.node, context.ports)
                .map_err(|problem| problems.push(format!("{}: {problem}", request.shown())))
                .ok(),
            Action::Write(_) | Action::Delete => None,
        })
        .collect();
    if problems.is_empty() { Ok(urls) } else { Err(problems) }
}

/// The bytes of each file to be written. All of them are there, and are what they should be, before any is written.
fn contents<'r>(
    requests: &'r [FileRequest],
    urls: &[Option<String>],
    route: &Route,
    context: &StepContext<'_>,
) -> Result<Vec<Option<Cow<'r, [u8]>>>, StepError> {
    let mut left = MAX_CONTENT - requests.iter().map(FileRequest::bytes).sum::<usize>();
    let content = |(request, url): (&'r FileRequest, &Option<String>)| match (&request.action, url) {
        (Action::Write(content), _) => Ok(Some(Cow::Borrowed(content.as_slice()))),
        (Action::Fetch(_, checksum), Some(url)) => {
            let content = context.observer.fetch(&RemoteFile { url, limit_bytes: left, route })?;
            left = left.saturating_sub(content.len());
            if !checksum.is_of(&content) {
                let shown = url.split(['?', '#']).next().unwrap_or_default();
                return Err(StepError::InvalidParameter {
                    parameter: request.shown(),
                    problem: format!("what is at {shown} does not have the checksum that was given"),
                });
            }
            Ok(Some(Cow::Owned(content)))
        }
        (Action::Fetch(..) | Action::Delete, _) => Ok(None),
    };
    requests.iter().zip(urls).map(content).collect()
}

fn act(mounted: &Mounted, request: &FileRequest, content: Option<&[u8]>) -> std::io::Result<String> {
    let path = request.shown();
    Ok(match content {
        Some(content) => {
            mounted.tree().write(request, content)?;
            format!("{path}: {} bytes written", content.len())
        }
        None if mounted.tree().delete(request)? => format!("{path}: deleted"),
        None => format!("{path}: was not there"),
    })
}

fn verify(
    mounted: &Mounted,
    request: &FileRequest,
    content: Option<&[u8]>,
) -> std::io::Result<Option<String>> {
    match content {
        Some(content) => mounted.tree().differs(request, content),
        None => Ok((!mounted.tree().is_gone(request)?).then(|| "it is still there".to_owned())),
    }
}

fn mount(node: &Path, intent: Intent, touched: bool) -> Result<Mounted, StepError> {
    Mounted::new(node, intent)
        .map_err(|error| failed(format!("cannot mount {}: {error}", node.display()), touched))
}

fn describe(request: &FileRequest, url: Option<&str>) -> Value {
    let action = match &request.action {
        Action::Delete => "delete".to_owned(),
        Action::Write(content) => format!("write {} bytes", content.len()),
        Action::Fetch(template, _) => format!("write what is at {}", url.unwrap_or(template)),
    };
    json!({"path": request.shown(), "action": action})
}

fn failed(details: String, touched: bool) -> StepError {
    StepError::Failed {
        class: "CommandExecutionError",
        code: 500,
        message: "Command execution failed",
        details,
        retry: true,
        touched,
    }
}
