//! What fuzzers found worth keeping must stay harmless. (Crates with private targets replay theirs in their unit tests.)

use std::fs;
use std::path::Path;

#[expect(unreachable_pub, reason = "a library for the fuzzers")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

#[test]
fn the_kept_inputs_do_no_harm() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, entry) in targets::ENTRIES {
        let mut inputs = 0;
        for input in fs::read_dir(corpora.join(name)).unwrap() {
            let path = input.unwrap().path();
            // Seen only when the test fails.
            println!("{}", path.display());
            entry(&fs::read(&path).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "no inputs for {name}");
    }
}
