//! The step itself: check, find the file systems, write, prove.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tacit_model::{ProgressUnit, Proof, ProofResult};

use super::mount::{Intent, Mounted};
use super::place::find;
use super::request::{Action, FileRequest, MAX_CONTENT, parse};
use super::template::expand;
use crate::machine::Machine;
use crate::managers::{Argument, DRY_RUN, StepContext, StepError, StepSpecification};

/// Brings the content behind a URL, at most so many bytes of it, or says why it cannot.
pub type FileSource<'a> = &'a dyn Fn(&str, usize) -> Result<Vec<u8>, String>;

pub(crate) const STEPS: &[StepSpecification] = &[StepSpecification {
    name: "inject_files",
    interface: "deploy",
    clean: None,
    deploy: Some(0),
    service: Some(0),
    abortable: false,
    arguments: &[
        Argument {
            name: "files",
            description: "Files to write or to delete: path, partition, content, deleted, mode, dirmode, owner, \
                          group.",
            required: false,
        },
        Argument {
            name: "verify_ca",
            description: "Accepted for Ironic's sake: content behind URLs is not fetched here.",
            required: false,
        },
        DRY_RUN,
    ],
    run: |machine, context| inject_files(machine, context, None),
}];

/// Writes the files of `properties.inject_files` and of the argument `files` into the deployed system. Content behind
/// a URL is asked of `source`.
///
/// # Errors
///
/// [`StepError::InvalidParameter`] with everything that is wrong with the request, before anything is touched;
/// [`StepError::Failed`] with every file that could not be written.
pub fn inject_files(
    machine: &Machine,
    context: &StepContext<'_>,
    source: Option<FileSource<'_>>,
) -> Result<Value, StepError> {
    let dry_run = context.dry_run()?;
    let invalid = |problems: Vec<String>| StepError::InvalidParameter {
        parameter: "files".to_owned(),
        problem: problems.join("; "),
    };
    let requests = parse(context.node, context.args.get("files")).map_err(invalid)?;
    let contents = contents(&requests, context, source, dry_run).map_err(invalid)?;
    let (mut places, mut problems): (BTreeMap<PathBuf, Vec<usize>>, Vec<String>) = Default::default();
    for (at, request) in requests.iter().enumerate() {
        match find(machine, context.node, request) {
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
                let files: Vec<Value> = files.iter().map(|at| describe(&requests[*at])).collect();
                json!({"device": node, "files": files})
            })
            .collect();
        return Ok(json!({ "plan": plan }));
    }
    let mut proofs = Vec::new();
    let mut done = 0;
    for (node, files) in &places {
        let shown = node.display().to_string();
        let mut actions = Vec::new();
        {
            let mounted = mount(node, Intent::Write)?;
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
        let mounted = mount(node, Intent::Read)?;
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

/// The bytes of each file to be written; nothing is fetched for a plan.
fn contents(
    requests: &[FileRequest],
    context: &StepContext<'_>,
    source: Option<FileSource<'_>>,
    dry_run: bool,
) -> Result<Vec<Option<Vec<u8>>>, Vec<String>> {
    let mut problems = Vec::new();
    let contents = requests
        .iter()
        .map(|request| match &request.action {
            Action::Delete => None,
            Action::Write(content) => Some(content.clone()),
            Action::Fetch(url) => {
                let fetched = expand(url, context.node, context.ports).and_then(|url| match source {
                    None => Err(format!("{url} cannot be fetched: give the content itself, as base64")),
                    Some(_) if dry_run => Ok(Vec::new()),
                    Some(source) => source(&url, MAX_CONTENT).map_err(|error| format!("{url}: {error}")),
                });
                fetched.map_err(|problem| problems.push(format!("{}: {problem}", request.shown()))).ok()
            }
        })
        .collect();
    if problems.is_empty() { Ok(contents) } else { Err(problems) }
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

fn mount(node: &Path, intent: Intent) -> Result<Mounted, StepError> {
    Mounted::new(node, intent)
        .map_err(|error| failed(format!("cannot mount {}: {error}", node.display()), intent == Intent::Read))
}

fn describe(request: &FileRequest) -> Value {
    let action = match &request.action {
        Action::Delete => "delete".to_owned(),
        Action::Write(content) => format!("write {} bytes", content.len()),
        Action::Fetch(url) => format!("write what is at {url}"),
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
