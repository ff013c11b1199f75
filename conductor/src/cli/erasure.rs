//! `tacit node erasure`: certificates of erasure, read, exported and checked.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use super::arguments::ErasureArguments;
use super::client::{Client, node_path};
use super::error::CliError;
use super::node_output::print_json;
use super::output::{field, size, table};
use crate::chain::chain;
use crate::erasure::{Issued, page};

pub(super) async fn run(client: &Client, arguments: &ErasureArguments, json: bool) -> Result<(), CliError> {
    let answer = client.get(&node_path(&arguments.node, "/erasures")).await?;
    let issued: Vec<Issued> = serde_json::from_value(answer["erasures"].clone())
        .map_err(|error| CliError::Failed(format!("the conductor's answer is not understood: {error}")))?;
    let authority = arguments.authority.as_deref().map(authority).transpose()?;
    for one in &issued {
        let id = field(&one.certificate, "id");
        let verified = one.jws.verify(authority.as_ref()).map_err(|error| {
            CliError::Failed(format!("certificate {id} is not to be believed: {}", chain(&error)))
        })?;
        if verified.payload != one.certificate {
            return Err(CliError::Failed(format!("certificate {id} is not what was signed")));
        }
    }
    if let Some(path) = &arguments.html {
        let title = format!("Certificates of erasure: {}", arguments.node);
        write(path, &page(&title, &issued))?;
        eprintln!("{} certificates written to {}", issued.len(), path.display());
    }
    if json {
        print_json(&answer["erasures"]);
    } else if arguments.html.is_none() {
        print!("{}", overview(&issued, authority.is_some()));
    }
    Ok(())
}

fn overview(issued: &[Issued], by_authority: bool) -> String {
    if issued.is_empty() {
        return "nothing on this machine was erased through this conductor\n".to_owned();
    }
    let row = |one: &Issued| {
        let certificate = &one.certificate;
        let time = field(certificate, "issued_at");
        vec![
            time.get(..19).unwrap_or(&time).replace('T', " "),
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
    text.push_str(if by_authority {
        "\nAll signatures are good, by a conductor of the given authority.\n"
    } else {
        "\nAll signatures are good; whose they are, --authority FILE tells.\n"
    });
    text
}

fn authority(path: &Path) -> Result<CertificateDer<'static>, CliError> {
    CertificateDer::from_pem_file(path)
        .map_err(|error| CliError::Usage(format!("{} is no certificate: {error}", path.display())))
}

fn write(path: &PathBuf, text: &str) -> Result<(), CliError> {
    std::fs::write(path, text).map_err(|source| CliError::File { path: path.clone(), source })
}
