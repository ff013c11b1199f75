//! `tacit node erasure`: certificates of erasure, and what was not erased, read, exported and checked.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use super::arguments::ErasureArguments;
use super::client::{Client, node_path};
use super::error::CliError;
use super::output::{field, note, print, print_json, size, table};
use crate::chain::chain;
use crate::erasure::{CERTIFICATE, Erasures, Issued, NOT_ERASED, NotErased, page};
use crate::pki::Signed;

pub(super) async fn run(client: &Client, arguments: &ErasureArguments, json: bool) -> Result<(), CliError> {
    let answer = client.get(&node_path(&arguments.node, "/erasures")).await?;
    let all: Erasures = serde_json::from_value(answer.clone())
        .map_err(|error| CliError::Failed(format!("the conductor's answer is not understood: {error}")))?;
    let authority = arguments.authority.as_deref().map(authority).transpose()?;
    for Issued { certificate, jws } in &all.erasures {
        check(certificate, jws, CERTIFICATE, authority.as_ref())?;
    }
    for NotErased { statement, jws } in &all.not_erased {
        check(statement, jws, NOT_ERASED, authority.as_ref())?;
    }
    if let Some(path) = &arguments.html {
        let title = if all.erasures.is_empty() { "Not erased" } else { "Certificates of erasure" };
        write(path, &page(&format!("{title}: {}", arguments.node), &all))?;
        note(&format!("{} written to {}", counts(&all), path.display()));
    }
    if json {
        print_json(&answer)?;
    } else if arguments.html.is_none() {
        print(&overview(&all, authority.is_some()))?;
    }
    Ok(())
}

/// Believes a statement that is signed, and of the kind that its place says.
fn check(
    statement: &Value,
    jws: &Signed,
    kind: &str,
    authority: Option<&CertificateDer<'static>>,
) -> Result<(), CliError> {
    let id = field(statement, "id");
    let verified = jws
        .verify(authority)
        .map_err(|error| CliError::Failed(format!("{kind} {id} is not to be believed: {}", chain(&error))))?;
    if verified.payload != *statement || statement["kind"] != kind {
        return Err(CliError::Failed(format!("{kind} {id} is not what was signed")));
    }
    Ok(())
}

fn counts(all: &Erasures) -> String {
    let certificates = format!("{} certificates", all.erasures.len());
    match all.not_erased.len() {
        0 => certificates,
        count => format!("{certificates}, and {count} times that a device was not erased,"),
    }
}

fn overview(all: &Erasures, by_authority: bool) -> String {
    if all.erasures.is_empty() && all.not_erased.is_empty() {
        return "nothing on this machine was erased through this conductor\n".to_owned();
    }
    let mut text = String::new();
    if !all.erasures.is_empty() {
        text.push_str(&erased(&all.erasures));
    }
    if !all.not_erased.is_empty() {
        let gap = if text.is_empty() { "" } else { "\n" };
        text.push_str(&format!("{gap}NOT erased, and no certificates:\n{}", not_erased(&all.not_erased)));
    }
    text.push_str(if by_authority {
        "\nAll signatures are good, by a conductor of the given authority.\n"
    } else {
        "\nAll signatures are good; whose they are, --authority FILE tells.\n"
    });
    text
}

fn erased(issued: &[Issued]) -> String {
    let row = |one: &Issued| {
        let certificate = &one.certificate;
        vec![
            time(certificate),
            field(certificate, "device"),
            field(certificate, "serial"),
            certificate["size"].as_u64().map_or_else(|| "-".to_owned(), size),
            field(certificate, "method"),
            field(certificate, "standard"),
            field(certificate, "result"),
            field(certificate, "id"),
        ]
    };
    let rows: Vec<_> = issued.iter().map(row).collect();
    let head = ["TIME (UTC)", "DEVICE", "SERIAL", "SIZE", "METHOD", "STANDARD", "RESULT", "CERTIFICATE"];
    let mut text = table(&head, &rows);
    for one in issued {
        text.push_str(&format!(
            "\n{} {}\n",
            field(&one.certificate, "device"),
            field(&one.certificate, "id")
        ));
        for line in one.certificate["verification"].as_array().into_iter().flatten().filter_map(Value::as_str)
        {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}

fn not_erased(statements: &[NotErased]) -> String {
    let row = |one: &NotErased| {
        let statement = &one.statement;
        // What an agent says of a device ends with `failed: …` or has `skipped: …`.
        let result = field(statement, "result");
        let said = statement["actions"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let why: Vec<&str> = said.filter(|line| line.starts_with(&result)).collect();
        vec![
            time(statement),
            field(statement, "device"),
            field(statement, "serial"),
            field(statement, "step"),
            if why.is_empty() { result } else { why.join("; ") },
        ]
    };
    let rows: Vec<_> = statements.iter().map(row).collect();
    table(&["TIME (UTC)", "DEVICE", "SERIAL", "STEP", "WHY"], &rows)
}

fn time(statement: &Value) -> String {
    let time = field(statement, "issued_at");
    time.get(..19).unwrap_or(&time).replace('T', " ")
}

fn authority(path: &Path) -> Result<CertificateDer<'static>, CliError> {
    CertificateDer::from_pem_file(path)
        .map_err(|error| CliError::Usage(format!("{} is no certificate: {error}", path.display())))
}

fn write(path: &PathBuf, text: &str) -> Result<(), CliError> {
    std::fs::write(path, text).map_err(|source| CliError::File { path: path.clone(), source })
}
