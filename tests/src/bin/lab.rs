//! `lab up` holds a lab until ^C, to try things by hand; `lab clean` takes down what a killed run left behind.

use anyhow::{Result, bail};
use tacit_tests::lab::{Lab, LabOptions, clean_leftovers};

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("up") => {
            let lab = Lab::start(LabOptions::default())?;
            println!("namespace  {}", lab.network().name());
            println!("libvirt    {}", lab.libvirt_uri());
            println!("files      {}", lab.files().display());
            println!("images     {}", lab.images.url(""));
            for (key, value) in lab.bmc.driver_info() {
                println!("{key}  {value}");
            }
            println!("^C takes it down");
            loop {
                std::thread::park();
            }
        }
        Some("clean") => {
            for name in clean_leftovers()? {
                println!("took down {name}");
            }
            Ok(())
        }
        _ => bail!("usage: lab up | lab clean"),
    }
}
