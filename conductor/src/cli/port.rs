//! `tacit port …`

use serde_json::json;

use super::arguments::PortCommand;
use super::client::{Client, node_path};
use super::error::CliError;
use super::output::{field, print, print_json, table};

pub(super) async fn run(client: &Client, command: PortCommand, json: bool) -> Result<(), CliError> {
    match command {
        PortCommand::Create { mac, node } => {
            let port = client.post("/v1/ports", &json!({"address": mac, "node_ident": node})).await?;
            if json {
                print_json(&port)?;
            } else {
                print(&format!("port {} created: {}\n", field(&port, "uuid"), field(&port, "address")))?;
            }
        }
        PortCommand::List { node } => {
            let path = match node {
                Some(node) => node_path(&node, "/ports/detail"),
                None => "/v1/ports/detail".to_owned(),
            };
            let ports = client.all(&path, "ports").await?;
            if json {
                return print_json(&ports.into());
            }
            let columns = ["uuid", "address", "node_uuid", "pxe_enabled"];
            let rows: Vec<_> = ports.iter().map(|port| columns.map(|c| field(port, c)).to_vec()).collect();
            print(&table(&["UUID", "ADDRESS", "NODE", "PXE"], &rows))?;
        }
        PortCommand::Delete { ports } => {
            for port in ports {
                client.delete(&format!("/v1/ports/{}", port.replace('/', "%2F"))).await?;
                print(&format!("port {port} deleted\n"))?;
            }
        }
    }
    Ok(())
}
