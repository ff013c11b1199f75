//! The little that is read from ELF files: a kernel module's `.modinfo`, and whether the agent is static.

use object::read::elf::{Dyn, ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSection, elf};

/// Why an ELF file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    #[error("not a 64-bit ELF file")]
    Parse(#[source] object::Error),
    #[error("section .modinfo is missing")]
    NoModinfo,
    #[error("program is for machine {0}, not x86-64")]
    Machine(u16),
    #[error("program is linked dynamically (it asks for an interpreter), which the ramdisk does not have")]
    Dynamic,
}

/// What a module says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Modules that it cannot be loaded without; names with underscores.
    pub depends: Vec<String>,
    /// Modules or aliases that should be loaded before it, when there are such.
    pub soft_before: Vec<String>,
    /// The same, after it.
    pub soft_after: Vec<String>,
    /// Modalias patterns and other names.
    pub aliases: Vec<String>,
}

impl ModuleInfo {
    /// Reads the `.modinfo` section of an uncompressed `.ko`.
    pub fn from_ko(bytes: &[u8]) -> Result<Self, ElfError> {
        let elf = ElfFile64::<Endianness>::parse(bytes).map_err(ElfError::Parse)?;
        let section = elf.section_by_name(".modinfo").ok_or(ElfError::NoModinfo)?;
        Ok(Self::from_section(section.data().map_err(ElfError::Parse)?))
    }

    /// Reads the section's contents: `key=value` strings, each ended by one or more zero bytes.
    pub fn from_section(section: &[u8]) -> Self {
        let mut info = Self::default();
        for line in section.split(|&byte| byte == 0) {
            let Ok(line) = str::from_utf8(line) else { continue };
            match line.split_once('=') {
                Some(("depends", names)) => {
                    let names = names.split(',').filter(|name| !name.is_empty());
                    info.depends.extend(names.map(module_name));
                }
                Some(("softdep", rule)) => info.read_soft(rule),
                Some(("alias", alias)) => info.aliases.push(alias.to_owned()),
                _ => {}
            }
        }
        info
    }

    /// `pre: a b post: c`, modprobe.d(5).
    fn read_soft(&mut self, rule: &str) {
        let mut before = true;
        for word in rule.split_ascii_whitespace() {
            match word {
                "pre:" => before = true,
                "post:" => before = false,
                name if before => self.soft_before.push(module_name(name)),
                name => self.soft_after.push(module_name(name)),
            }
        }
    }
}

/// A module's name as the kernel has it: underscores, no dashes.
pub fn module_name(name: &str) -> String {
    name.replace('-', "_")
}

/// What a program or a library asks the dynamic linker for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dynamic {
    /// Of a library: by which others ask for it.
    pub name: Option<String>,
    /// Names of libraries.
    pub needed: Vec<String>,
    /// Path of the dynamic linker.
    pub interpreter: Option<String>,
}

/// Reads the dynamic section of a 64-bit ELF file; a static program has an empty one.
pub fn dynamic(bytes: &[u8]) -> Result<Dynamic, ElfError> {
    let header = elf::FileHeader64::<Endianness>::parse(bytes).map_err(ElfError::Parse)?;
    let endian = header.endian().map_err(ElfError::Parse)?;
    let text = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
    };
    let mut found = Dynamic::default();
    for segment in header.program_headers(endian, bytes).map_err(ElfError::Parse)? {
        if let Some(path) = segment.interpreter(endian, bytes).map_err(ElfError::Parse)? {
            found.interpreter = Some(text(path));
        }
    }
    let sections = header.sections(endian, bytes).map_err(ElfError::Parse)?;
    let Some((entries, names)) = sections.dynamic(endian, bytes).map_err(ElfError::Parse)? else {
        return Ok(found);
    };
    let names = sections.strings(endian, bytes, names).map_err(ElfError::Parse)?;
    for entry in entries {
        let name = || entry.string(endian, names).map(text).map_err(ElfError::Parse);
        match entry.tag32(endian) {
            Some(elf::DT_NEEDED) => found.needed.push(name()?),
            Some(elf::DT_SONAME) => found.name = Some(name()?),
            _ => {}
        }
    }
    Ok(found)
}

/// Checks that `bytes` is a program for x86-64 that needs no dynamic linker.
pub fn check_static_program(bytes: &[u8]) -> Result<(), ElfError> {
    let header = elf::FileHeader64::<Endianness>::parse(bytes).map_err(ElfError::Parse)?;
    let endian = header.endian().map_err(ElfError::Parse)?;
    let machine = header.e_machine(endian);
    if machine != elf::EM_X86_64 {
        return Err(ElfError::Machine(machine));
    }
    let segments = header.program_headers(endian, bytes).map_err(ElfError::Parse)?;
    if segments.iter().any(|segment| segment.p_type(endian) == elf::PT_INTERP) {
        return Err(ElfError::Dynamic);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modinfo_lines_are_sorted_into_their_fields() {
        let section = b"license=GPL\0\0\0alias=virtio:d00000001v*\0alias=fs-x\0depends=net-failover,virtio\0\
            softdep=pre: crc32c lib-a post: late\0softdep=pre: crypto-b\0name=virtio_net\0vermagic=6.1=x\0garbage\0";
        let info = ModuleInfo::from_section(section);
        assert_eq!(info.depends, ["net_failover", "virtio"]);
        assert_eq!(info.soft_before, ["crc32c", "lib_a", "crypto_b"]);
        assert_eq!(info.soft_after, ["late"]);
        assert_eq!(info.aliases, ["virtio:d00000001v*", "fs-x"]);
    }

    #[test]
    fn empty_depends_is_no_dependency() {
        assert_eq!(ModuleInfo::from_section(b"depends=\0"), ModuleInfo::default());
    }

    #[test]
    fn text_is_no_program() {
        assert!(matches!(check_static_program(b"#!/bin/sh\n"), Err(ElfError::Parse(_))));
    }

    #[test]
    fn what_this_test_needs_is_read() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let found = dynamic(&own).unwrap();
        assert!(found.needed.iter().any(|name| name == "libc.so.6"), "{found:?}");
        assert!(found.interpreter.unwrap().contains("ld-linux"));
        assert!(dynamic(b"#!/bin/sh\n").is_err());
    }

    #[test]
    fn this_test_is_dynamic_and_refused() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(matches!(check_static_program(&own), Err(ElfError::Dynamic)));
    }
}
