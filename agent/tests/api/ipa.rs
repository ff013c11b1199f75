//! The agent in IPA's place: plain HTTP, TLS without client certificate, token, bridge, and what closes the API.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::support::{Authority, Caller, IpaAgent, TOKEN};

const NODE: &str = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123";

fn command(name: &str, params: &Value) -> String {
    json!({"name": name, "params": params}).to_string()
}

#[test]
fn the_token_and_nothing_else_lets_in() {
    let agent = IpaAgent::plain(&[]);
    for (query, status) in [
        ("", 401),
        ("?agent_token=", 401),
        ("?agent_token=wrong", 401),
        (&*format!("?agent_token=x&agent_token={TOKEN}"), 401),
        (&*format!("?agent_token={TOKEN}&agent_token=x"), 200),
    ] {
        assert_eq!(agent.get(&format!("/v1/commands/{query}")).status, status, "{query}");
    }
    assert_eq!(agent.get("/v1/status").status, 200);
    // Without an authority for certificates there is nobody whom `/v2` could obey.
    for path in ["/v2/status", "/v2/ipa", "/v2/operations"] {
        assert_eq!(agent.get(&format!("{path}?agent_token={TOKEN}")).status, 404, "{path}");
    }
    assert!(agent.get("/v1/").text().contains("\"http://127.0.0.1:9999/v1\""));
}

#[test]
fn no_answer_repeats_the_token() {
    let agent = IpaAgent::plain(&[]);
    let redirect = agent.get("/v1?agent_token=SECRET&a=b");
    assert_eq!((redirect.status, redirect.header("location")), (308, Some("http://127.0.0.1:9999/v1/?a=b")));
    assert!(!redirect.text().contains("SECRET"));
    let wrong = agent.post("/v1/commands?agent_token=SECRET&wait=true", "{}");
    assert_eq!(
        (wrong.status, wrong.header("location")),
        (308, Some("http://127.0.0.1:9999/v1/commands/?wait=true"))
    );
    // Who knows it needs no redirect, which clients would follow without it.
    let sync = command("standby.sync", &json!({}));
    let done = agent.post(&format!("/v1/commands?agent_token={TOKEN}"), &sync);
    assert_eq!((done.status, &done.json()["command_status"]), (200, &json!("SUCCEEDED")));
    let list = agent.get(&format!("/commands?agent_token={TOKEN}")).json();
    assert_eq!(list["commands"].as_array().unwrap().len(), 1);
}

#[test]
fn a_new_token_counts_at_once_and_after_a_restart() {
    let mut agent = IpaAgent::plain(&[]);
    let new = "n".repeat(43);
    let info = json!({"node": {"uuid": NODE}, "config": {"agent_token": new, "heartbeat_timeout": 300}});
    let ask = |agent: &IpaAgent, params: &Value| agent.command("poll.set_node_info", params);
    for wrong in [json!({}), json!({"node_info": null}), json!({"node_info": {"node": {"uuid": "u"}}})] {
        assert_eq!(ask(&agent, &wrong).status, 400, "{wrong}");
    }
    // Too short: not taken, and nobody is locked out.
    let weak = json!({"node": {"uuid": NODE}, "config": {"agent_token": "short"}});
    assert_eq!(ask(&agent, &json!({"node_info": weak})).json()["command_status"], "SUCCEEDED");
    assert_eq!(ask(&agent, &json!({"node_info": info})).json()["command_status"], "SUCCEEDED");
    for restarted in [false, true] {
        if restarted {
            agent.kill_and_restart();
        }
        assert_eq!(agent.get(&format!("/v1/commands/?agent_token={TOKEN}")).status, 401);
        assert_eq!(agent.get(&format!("/v1/commands/?agent_token={new}")).status, 200);
    }
}

#[test]
fn md5_is_allowed_by_ironic_alone() {
    let agent = IpaAgent::plain(&[]);
    let md5 =
        json!({"image_info": {"id": "i", "urls": ["http://127.0.0.1:1/i"], "checksum": "a".repeat(32)}});
    assert_eq!(agent.command("standby.prepare_image", &md5).status, 400);
    let info = json!({"node": {"uuid": NODE}, "config": {"agent_md5_checksum_enable": true}});
    assert_eq!(agent.command("poll.set_node_info", &json!({"node_info": info})).status, 200);
    assert_eq!(agent.command("standby.prepare_image", &md5).status, 200);
}

#[test]
fn flows_run_one_after_the_other_and_end_with_the_first_failure() {
    let agent = IpaAgent::plain(&[]);
    let flow = |flow: Value| agent.command("flow.start_flow", &json!({"flow": flow})).json();
    let done =
        flow(json!([{"standby.sync": {}}, {"standby.get_partition_uuids": {}, "standby.power_off": {}}]));
    assert_eq!((&done["command_status"], &done["command_result"]), (&json!("SUCCEEDED"), &Value::Null));
    let failed = flow(json!([{"standby.sync": {"x": 1}}, {"system.lockdown": {}}]));
    assert_eq!(failed["command_error"]["details"], "standby.sync was failed");
    // The second was not reached: the agent answers still. One flow is one command.
    let list = agent.get(&format!("/v1/commands/?agent_token={TOKEN}")).json();
    assert_eq!(list["commands"].as_array().unwrap().len(), 2);
}

#[test]
fn bootc_is_refused_and_no_disk_is_touched() {
    let agent = IpaAgent::plain(&[]);
    let answer = agent.command("standby.execute_bootc_install", &json!({"image_source": "oci://h/i"})).json();
    assert_eq!(answer["command_name"], "execute_bootc_install");
    assert_eq!(answer["command_error"]["type"], "CommandExecutionError");
    assert!(fs::read(agent.disk()).unwrap().iter().all(|byte| *byte == 0xA5));
}

fn wait_until_closed(agent: &IpaAgent) {
    let begun = Instant::now();
    while TcpStream::connect(agent.address).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the agent answers still");
        std::thread::yield_now();
    }
}

#[test]
fn idlers_do_not_keep_out_who_knows_the_token() {
    let agent = IpaAgent::plain(&[]);
    let say = |stream: &mut TcpStream, path: &str| {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        let mut begin = [0; 15];
        stream.read_exact(&mut begin).unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200 OK", "{path}");
    };
    let mut known = TcpStream::connect(agent.address).unwrap();
    say(&mut known, &format!("/v1/commands/?agent_token={TOKEN}"));
    let mut idlers: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut idler = TcpStream::connect(agent.address).unwrap();
            say(&mut idler, "/v1/status");
            idler
        })
        .collect();
    assert_eq!(agent.get(&format!("/v1/commands/?agent_token={TOKEN}")).status, 200);
    // The first of them was sent away; who showed the token was not.
    idlers[0].read_to_end(&mut Vec::new()).unwrap();
    let mut rest = [0; 4096];
    let read = known.read(&mut rest).unwrap();
    assert!(read > 0, "the connection of who knows the token was closed");
    say(&mut known, "/v1/status");
}

#[test]
fn lockdown_is_answered_and_nothing_afterwards() {
    let mut agent = IpaAgent::plain(&[]);
    // A connection that is idle is closed, too.
    let mut idle = TcpStream::connect(agent.address).unwrap();
    idle.write_all(b"GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    idle.read_exact(&mut [0; 12]).unwrap();
    assert_eq!(agent.command("system.lockdown", &json!({})).json()["command_status"], "SUCCEEDED");
    wait_until_closed(&agent);
    idle.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    idle.read_to_end(&mut Vec::new()).unwrap();
    // A restart opens nothing.
    assert!(!agent.is_dead());
    agent.kill_and_restart_silent();
}

#[test]
fn rescue_admits_the_user_first_and_closes_then() {
    let agent = IpaAgent::plain(&[]);
    let hash = "$5$saltsalt$abcdefghijklmnop";
    let finalize = |password: &str, hashed: bool| {
        agent
            .command("rescue.finalize_rescue", &json!({"rescue_password": password, "hashed": hashed}))
            .json()
    };
    // No rescue user in this ramdisk: said, and the API stays.
    assert_eq!(finalize(hash, true)["command_status"], "FAILED");
    let folder = agent.rescue_root().join("etc/ipa-rescue-config");
    fs::create_dir_all(&folder).unwrap();
    assert_eq!(finalize("plain text", false)["command_status"], "FAILED");
    assert_eq!(finalize(hash, true)["command_status"], "SUCCEEDED");
    wait_until_closed(&agent);
    assert_eq!(fs::read_to_string(folder.join("ipa-rescue-password")).unwrap(), hash);
}

#[test]
fn a_bridge_is_obeyed_by_its_certificate() {
    let authority = Authority::new("the bridge's");
    let agent = IpaAgent::with_bridge(&authority, None);
    let own = agent.certificate();
    let bridge = Caller::new(agent.address, &own, Some(&authority.client()));
    let stranger = Caller::new(agent.address, &own, None);
    let ipa = bridge.request("GET", "/v2/ipa", None).json();
    assert_eq!((&ipa["agent_token"], &ipa["certificate"]), (&Value::Null, &json!(own)));
    assert_eq!(bridge.request("GET", "/v2/status", None).json()["trust"], "first-contact");
    for path in ["/v2/ipa", "/v2/status", "/v2/events"] {
        assert_eq!(stranger.request("GET", path, None).status, 401, "{path}");
    }
    assert_eq!(stranger.request("GET", "/v1/commands/?agent_token=x", None).status, 401);
    assert_eq!(bridge.request("GET", "/v1/commands/", None).status, 200);
    let give = |token: &str| {
        bridge.request("PUT", "/v2/ipa", Some(json!({"agent_token": token}).to_string().as_bytes())).status
    };
    assert_eq!((give(""), give(TOKEN), give(TOKEN), give("another")), (400, 200, 200, 409));
    let path = format!("/v1/commands/?agent_token={TOKEN}");
    assert_eq!(stranger.request("GET", &path, None).status, 200);
    // A certificate of somebody else's authority gets no byte of HTTP.
    let forged = Caller::new(agent.address, &own, Some(&Authority::new("another").client()));
    assert!(forged.raw(b"GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n").is_err());
}

#[test]
fn parameters_and_files_configure_it() {
    let authority = Authority::new("the bridge's");
    let line = format!(
        "quiet boot_method=vmedia ipa-agent-token={TOKEN} ipa-api-url=http://192.0.2.1 ipa-novelty=1"
    );
    let agent = IpaAgent::with_bridge(&authority, Some(&line));
    let path = format!("/v1/commands/?agent_token={TOKEN}");
    let caller = Caller::new(agent.address, &agent.certificate(), None);
    assert_eq!(caller.request("GET", &path, None).status, 200);
    let log = agent.log();
    for said in ["ipa-api-url: without effect", "ipa-novelty: not known"] {
        assert!(log.contains(said), "{log}");
    }
    assert!(!log.contains(TOKEN) && !log.contains("192.0.2.1"), "{log}");
}

/// Whatever came into the agent's own log; the command line is looked at where bundles are made.
#[test]
fn a_log_bundle_does_not_tell_the_token() {
    let agent = IpaAgent::plain(&[]);
    agent.command("flow.start_flow", &json!({"flow": [{"standby.sync": {TOKEN: 1}}]}));
    assert!(agent.log().contains(TOKEN));
    let done = agent.command("log.collect_system_logs", &json!({})).json();
    let bundle = STANDARD.decode(done["command_result"]["system_logs"].as_str().unwrap()).unwrap();
    let mut archive = tar::Archive::new(GzDecoder::new(bundle.as_slice()));
    let mut hidden = false;
    for member in archive.entries().unwrap() {
        let mut bytes = Vec::new();
        member.unwrap().read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(TOKEN));
        hidden |= text.contains("'***'");
    }
    assert!(hidden);
}

#[test]
fn a_config_drive_that_is_no_text_is_refused_and_no_disk_is_touched() {
    let agent = IpaAgent::plain(&[]);
    let info = json!({"id": "i", "urls": ["http://127.0.0.1:1/i"], "checksum": "a".repeat(64)});
    let given = json!({"image_info": info, "configdrive": {"meta_data": {}}});
    let refused = |error: &Value| {
        assert_eq!(error["type"], "InvalidCommandParamsError", "{error}");
        assert!(error["details"].as_str().unwrap().contains("'configdrive' must be a string"), "{error}");
        assert!(fs::read(agent.disk()).unwrap().iter().all(|byte| *byte == 0xA5));
    };
    refused(&agent.command("standby.prepare_image", &given).json()["command_error"]);
    let step = json!({"step": "write_image", "interface": "deploy", "args": given});
    let params = json!({"step": step, "node": {"uuid": NODE}, "ports": []});
    refused(&agent.command("deploy.execute_deploy_step", &params).json()["command_error"]);
}

/// It would be started with the same again, for ever.
#[test]
fn a_boots_senseless_values_do_not_keep_it_from_starting() {
    let line = format!(
        "ipa-agent-token={TOKEN} ipa-inspection-collectors=default,logs,extra-hardware ipa-lldp-timeout=0.5 \
         ipa-debug=perhaps ipa-image-download-connection-timeout=-1"
    );
    let agent = IpaAgent::with_bridge(&Authority::new("the bridge's"), Some(&line));
    for said in ["extra-hardware", "ipa-lldp-timeout: taken as 1", "ipa-debug: ignored"] {
        assert!(agent.log().contains(said), "{}", agent.log());
    }
}
