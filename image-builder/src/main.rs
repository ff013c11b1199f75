//! `tacit-image`: builds, describes and configures Tacit's boot media.

use clap::Parser;

fn main() -> anyhow::Result<()> {
    Ok(tacit_image::cli::run(tacit_image::cli::Arguments::parse())?)
}
