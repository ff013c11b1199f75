//! What a fuzzer found worth keeping must stay harmless.

use std::fs;
use std::path::Path;

use super::ENTRIES;

#[test]
fn the_kept_inputs_do_no_harm() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
    for (name, entry) in ENTRIES {
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
