//! Images of every shape, whole, damaged, cut, and changed while they are read.

use proptest::prelude::*;

use super::super::fuzz::fuzz;
use super::made::Qemu;
use super::support::{mixture, restore, survey, survey_for};
use super::writer::{Made, Wanted, make};

fn made() -> impl Strategy<Value = Made> {
    (any::<u64>(), 9_u32..=16, 2_u32..=3, any::<bool>(), 1_usize..400).prop_map(
        |(seed, cluster_bits, version, zstd, sectors)| {
            // So that small clusters have several tables and large ones are several.
            let size = sectors * 512 * (1 << ((cluster_bits - 9) / 2));
            let wanted = Wanted { seed, cluster_bits, version, zstd: zstd && version == 3, blank: true };
            make(wanted, mixture(size, seed))
        },
    )
}

/// A place in header or tables.
fn place(made: &Made, choice: (prop::sample::Index, prop::sample::Index)) -> usize {
    let range = &made.tables[choice.0.index(made.tables.len())];
    range.start + choice.1.index(range.len())
}

fn choice() -> impl Strategy<Value = (prop::sample::Index, prop::sample::Index)> {
    (any::<prop::sample::Index>(), any::<prop::sample::Index>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_shape_is_restored(made in made(), part in 1_usize..300) {
        let image = survey(&made.file).unwrap();
        let disk = restore(&image, &made.file, part * 1000).unwrap();
        prop_assert!(disk == made.disk, "something else");
        fuzz(&made.file);
    }

    /// A cut image is an error, or nothing that matters was cut off.
    #[test]
    fn what_is_cut_is_known(made in made(), cut in any::<prop::sample::Index>()) {
        let cut = &made.file[..cut.index(made.file.len())];
        if let Ok(image) = survey(cut)
            && let Ok(disk) = restore(&image, cut, 1 << 16)
        {
            prop_assert!(disk == made.disk, "a cut image was accepted");
        }
        // Known to be longer, and then ends.
        let image = survey(&made.file).unwrap();
        if let Ok(disk) = restore_cut(&image, &made.file, cut.len()) {
            prop_assert!(disk == made.disk, "a cut file was accepted");
        }
    }

    /// What was surveyed is what passes by.
    #[test]
    fn what_changes_is_known(made in made(), at in choice(), bit in 0_u32..8) {
        let image = survey(&made.file).unwrap();
        let mut file = made.file.clone();
        file[place(&made, at)] ^= 1 << bit;
        prop_assert_eq!(restore(&image, &file, 1 << 16), Err("Changed".to_owned()));
    }

    /// A damaged image is an error, or means what it means to QEMU.
    #[test]
    fn damage_is_known_or_means_what_it_means(
        made in made(),
        damage in prop::collection::vec((choice(), 0_u32..8), 1..4),
    ) {
        let mut file = made.file.clone();
        for (at, bit) in damage {
            file[place(&made, at)] ^= 1 << bit;
        }
        fuzz(&file);
        if let Some(qemu) = Qemu::here()
            && let Ok(image) = survey_for(&file, 64 << 20)
            && let Ok(disk) = restore(&image, &file, 1 << 16)
        {
            let path = qemu.path("image");
            std::fs::write(&path, &file).unwrap();
            if let Some(expected) = qemu.raw(&path) {
                prop_assert!(disk == expected, "QEMU makes something else of it");
            }
        }
    }
}

/// As [`restore`], of a file that ends early; the head is not looked at.
fn restore_cut(image: &super::super::Image, file: &[u8], len: usize) -> Result<Vec<u8>, String> {
    use super::super::pass::Pass;
    let pool = crate::pool::Pool::new(len / (1 << 16) + 2);
    let mut taken = Vec::new();
    let mut take = |extent| -> Result<(), String> {
        taken.push(extent);
        Ok(())
    };
    let mut pass = Pass::new(image);
    super::super::fuzz::feed(&mut pass, &pool, &file[..len], 1 << 16, &mut take)
        .and_then(|()| pass.finish(&mut take))
        .map_err(|error| format!("{error:?}"))?;
    restore(image, file, 1 << 16)
}
