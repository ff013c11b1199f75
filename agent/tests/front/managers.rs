//! Hardware managers that are programs of their own count on the command line, too.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::disk::{MIB, call, disk, text};

/// A folder with one program.
fn folder(above: &Path, program: &str) -> String {
    let folder = above.join("managers");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("vendor"), program).unwrap();
    for path in [folder.join("vendor"), folder.clone()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

/// Hides one disk, and knows who made the machine.
const VENDOR: &str = r#"#!/bin/sh
case "$1" in
describe) echo '{"message":"description","protocol":1,"name":"vendor","version":"1","filters":["disk"],'\
'"inventory":["system_vendor"]}';;
evaluate) echo '{"message":"support","level":3}';;
inventory) echo '{"message":"inventory","part":"system_vendor","value":{"product_name":"Anvil",'\
'"serial_number":null,"manufacturer":null,"firmware":{"vendor":null,"version":null,"build_date":null}}}';;
filter_device) echo '{"message":"devices","devices":[{"hide":"the vendor keeps its data there"}]}';;
*) echo '{"message":"unsupported"}';;
esac
"#;

#[test]
fn no_disk_is_erased_that_a_manager_hides() {
    for (program, reason) in
        [(VENDOR, "a hardware manager hides"), ("#!/no/such/interpreter\n", "vendor cannot be used")]
    {
        let above = tempfile::tempdir().unwrap();
        let managers = folder(above.path(), program);
        let disk = disk(above.path(), "disk", 2 * MIB);
        let before = fs::read(&disk).unwrap();
        let output = call(&["erase", "--yes", "--hardware-managers", &managers, disk.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains(reason), "{}", text(&output.stderr));
        assert!(fs::read(&disk).unwrap() == before);
    }
}

#[test]
fn the_inventory_is_what_managers_make_of_it() {
    let above = tempfile::tempdir().unwrap();
    let program = VENDOR.replace(r#""filters":["disk"],"#, "");
    let managers = folder(above.path(), &program);
    let output = call(&["inventory", "--hardware-managers", &managers]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let inventory: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(inventory["system_vendor"]["product_name"], "Anvil");

    fs::write(above.path().join("managers/vendor"), "#!/no/such/interpreter\n").unwrap();
    let output = call(&["inventory", "--hardware-managers", &managers]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("vendor cannot be used"), "{}", text(&output.stderr));
}
