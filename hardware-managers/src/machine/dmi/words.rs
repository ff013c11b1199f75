//! Codes of SMBIOS (DSP0134 3.7) in the words of `dmidecode`, which readers of the `dmi` key know.

/// Table 23.
pub(super) const PROCESSOR_FAMILIES: &[(u16, &str)] = &[
    (0x01, "Other"), (0x02, "Unknown"), (0x03, "8086"), (0x04, "80286"), (0x05, "80386"), (0x06, "80486"),
    (0x07, "8087"), (0x08, "80287"), (0x09, "80387"), (0x0a, "80487"), (0x0b, "Pentium"),
    (0x0c, "Pentium Pro"), (0x0d, "Pentium II"), (0x0e, "Pentium MMX"), (0x0f, "Celeron"),
    (0x10, "Pentium II Xeon"), (0x11, "Pentium III"), (0x12, "M1"), (0x13, "M2"), (0x14, "Celeron M"),
    (0x15, "Pentium 4 HT"), (0x18, "Duron"), (0x19, "K5"), (0x1a, "K6"), (0x1b, "K6-2"), (0x1c, "K6-3"),
    (0x1d, "Athlon"), (0x1e, "AMD29000"), (0x1f, "K6-2+"), (0x20, "Power PC"), (0x21, "Power PC 601"),
    (0x22, "Power PC 603"), (0x23, "Power PC 603+"), (0x24, "Power PC 604"), (0x25, "Power PC 620"),
    (0x26, "Power PC x704"), (0x27, "Power PC 750"), (0x28, "Core Duo"), (0x29, "Core Duo Mobile"),
    (0x2a, "Core Solo Mobile"), (0x2b, "Atom"), (0x2c, "Core M"), (0x2d, "Core m3"), (0x2e, "Core m5"),
    (0x2f, "Core m7"), (0x30, "Alpha"), (0x31, "Alpha 21064"), (0x32, "Alpha 21066"), (0x33, "Alpha 21164"),
    (0x34, "Alpha 21164PC"), (0x35, "Alpha 21164a"), (0x36, "Alpha 21264"), (0x37, "Alpha 21364"),
    (0x38, "Turion II Ultra Dual-Core Mobile M"), (0x39, "Turion II Dual-Core Mobile M"),
    (0x3a, "Athlon II Dual-Core M"), (0x3b, "Opteron 6100"), (0x3c, "Opteron 4100"), (0x3d, "Opteron 6200"),
    (0x3e, "Opteron 4200"), (0x3f, "FX"), (0x40, "MIPS"), (0x41, "MIPS R4000"), (0x42, "MIPS R4200"),
    (0x43, "MIPS R4400"), (0x44, "MIPS R4600"), (0x45, "MIPS R10000"), (0x46, "C-Series"),
    (0x47, "E-Series"), (0x48, "A-Series"), (0x49, "G-Series"), (0x4a, "Z-Series"), (0x4b, "R-Series"),
    (0x4c, "Opteron 4300"), (0x4d, "Opteron 6300"), (0x4e, "Opteron 3300"), (0x4f, "FirePro"),
    (0x50, "SPARC"), (0x51, "SuperSPARC"), (0x52, "MicroSPARC II"), (0x53, "MicroSPARC IIep"),
    (0x54, "UltraSPARC"), (0x55, "UltraSPARC II"), (0x56, "UltraSPARC IIi"), (0x57, "UltraSPARC III"),
    (0x58, "UltraSPARC IIIi"), (0x60, "68040"), (0x61, "68xxx"), (0x62, "68000"), (0x63, "68010"),
    (0x64, "68020"), (0x65, "68030"), (0x66, "Athlon X4"), (0x67, "Opteron X1000"), (0x68, "Opteron X2000"),
    (0x69, "Opteron A-Series"), (0x6a, "Opteron X3000"), (0x6b, "Zen"), (0x70, "Hobbit"),
    (0x78, "Crusoe TM5000"), (0x79, "Crusoe TM3000"), (0x7a, "Efficeon TM8000"), (0x80, "Weitek"),
    (0x82, "Itanium"), (0x83, "Athlon 64"), (0x84, "Opteron"), (0x85, "Sempron"), (0x86, "Turion 64"),
    (0x87, "Dual-Core Opteron"), (0x88, "Athlon 64 X2"), (0x89, "Turion 64 X2"),
    (0x8a, "Quad-Core Opteron"), (0x8b, "Third-Generation Opteron"), (0x8c, "Phenom FX"),
    (0x8d, "Phenom X4"), (0x8e, "Phenom X2"), (0x8f, "Athlon X2"), (0x90, "PA-RISC"),
    (0x91, "PA-RISC 8500"), (0x92, "PA-RISC 8000"), (0x93, "PA-RISC 7300LC"), (0x94, "PA-RISC 7200"),
    (0x95, "PA-RISC 7100LC"), (0x96, "PA-RISC 7100"), (0xa0, "V30"), (0xa1, "Quad-Core Xeon 3200"),
    (0xa2, "Dual-Core Xeon 3000"), (0xa3, "Quad-Core Xeon 5300"), (0xa4, "Dual-Core Xeon 5100"),
    (0xa5, "Dual-Core Xeon 5000"), (0xa6, "Dual-Core Xeon LV"), (0xa7, "Dual-Core Xeon ULV"),
    (0xa8, "Dual-Core Xeon 7100"), (0xa9, "Quad-Core Xeon 5400"), (0xaa, "Quad-Core Xeon"),
    (0xab, "Dual-Core Xeon 5200"), (0xac, "Dual-Core Xeon 7200"), (0xad, "Quad-Core Xeon 7300"),
    (0xae, "Quad-Core Xeon 7400"), (0xaf, "Multi-Core Xeon 7400"), (0xb0, "Pentium III Xeon"),
    (0xb1, "Pentium III Speedstep"), (0xb2, "Pentium 4"), (0xb3, "Xeon"), (0xb4, "AS400"),
    (0xb5, "Xeon MP"), (0xb6, "Athlon XP"), (0xb7, "Athlon MP"), (0xb8, "Itanium 2"), (0xb9, "Pentium M"),
    (0xba, "Celeron D"), (0xbb, "Pentium D"), (0xbc, "Pentium EE"), (0xbd, "Core Solo"),
    (0xbe, "Core 2 or K7"), (0xbf, "Core 2 Duo"), (0xc0, "Core 2 Solo"), (0xc1, "Core 2 Extreme"),
    (0xc2, "Core 2 Quad"), (0xc3, "Core 2 Extreme Mobile"), (0xc4, "Core 2 Duo Mobile"),
    (0xc5, "Core 2 Solo Mobile"), (0xc6, "Core i7"), (0xc7, "Dual-Core Celeron"), (0xc8, "IBM390"),
    (0xc9, "G4"), (0xca, "G5"), (0xcb, "ESA/390 G6"), (0xcc, "z/Architecture"), (0xcd, "Core i5"),
    (0xce, "Core i3"), (0xcf, "Core i9"), (0xd2, "C7-M"), (0xd3, "C7-D"), (0xd4, "C7"), (0xd5, "Eden"),
    (0xd6, "Multi-Core Xeon"), (0xd7, "Dual-Core Xeon 3xxx"), (0xd8, "Quad-Core Xeon 3xxx"), (0xd9, "Nano"),
    (0xda, "Dual-Core Xeon 5xxx"), (0xdb, "Quad-Core Xeon 5xxx"), (0xdd, "Dual-Core Xeon 7xxx"),
    (0xde, "Quad-Core Xeon 7xxx"), (0xdf, "Multi-Core Xeon 7xxx"), (0xe0, "Multi-Core Xeon 3400"),
    (0xe4, "Opteron 3000"), (0xe5, "Sempron II"), (0xe6, "Embedded Opteron Quad-Core"),
    (0xe7, "Phenom Triple-Core"), (0xe8, "Turion Ultra Dual-Core Mobile"),
    (0xe9, "Turion Dual-Core Mobile"), (0xea, "Athlon Dual-Core"), (0xeb, "Sempron SI"),
    (0xec, "Phenom II"), (0xed, "Athlon II"), (0xee, "Six-Core Opteron"), (0xef, "Sempron M"),
    (0xfa, "i860"), (0xfb, "i960"), (0x100, "ARMv7"), (0x101, "ARMv8"), (0x102, "ARMv9"), (0x104, "SH-3"),
    (0x105, "SH-4"), (0x118, "ARM"), (0x119, "StrongARM"), (0x12c, "6x86"), (0x12d, "MediaGX"),
    (0x12e, "MII"), (0x140, "WinChip"), (0x15e, "DSP"), (0x1f4, "Video Processor"), (0x200, "RV32"),
    (0x201, "RV64"), (0x202, "RV128"),
];

/// Table 24.
pub(super) const PROCESSOR_UPGRADES: &[(u8, &str)] = &[
    (0x01, "Other"), (0x02, "Unknown"), (0x03, "Daughter Board"), (0x04, "ZIF Socket"),
    (0x05, "Replaceable Piggy Back"), (0x06, "None"), (0x07, "LIF Socket"), (0x08, "Slot 1"),
    (0x09, "Slot 2"), (0x0a, "370-pin Socket"), (0x0b, "Slot A"), (0x0c, "Slot M"), (0x0d, "Socket 423"),
    (0x0e, "Socket A (Socket 462)"), (0x0f, "Socket 478"), (0x10, "Socket 754"), (0x11, "Socket 940"),
    (0x12, "Socket 939"), (0x13, "Socket mPGA604"), (0x14, "Socket LGA771"), (0x15, "Socket LGA775"),
    (0x16, "Socket S1"), (0x17, "Socket AM2"), (0x18, "Socket F (1207)"), (0x19, "Socket LGA1366"),
    (0x1a, "Socket G34"), (0x1b, "Socket AM3"), (0x1c, "Socket C32"), (0x1d, "Socket LGA1156"),
    (0x1e, "Socket LGA1567"), (0x1f, "Socket PGA988A"), (0x20, "Socket BGA1288"), (0x21, "Socket rPGA988B"),
    (0x22, "Socket BGA1023"), (0x23, "Socket BGA1224"), (0x24, "Socket BGA1155"), (0x25, "Socket LGA1356"),
    (0x26, "Socket LGA2011"), (0x27, "Socket FS1"), (0x28, "Socket FS2"), (0x29, "Socket FM1"),
    (0x2a, "Socket FM2"), (0x2b, "Socket LGA2011-3"), (0x2c, "Socket LGA1356-3"), (0x2d, "Socket LGA1150"),
    (0x2e, "Socket BGA1168"), (0x2f, "Socket BGA1234"), (0x30, "Socket BGA1364"), (0x31, "Socket AM4"),
    (0x32, "Socket LGA1151"), (0x33, "Socket BGA1356"), (0x34, "Socket BGA1440"), (0x35, "Socket BGA1515"),
    (0x36, "Socket LGA3647-1"), (0x37, "Socket SP3"), (0x38, "Socket SP3r2"), (0x39, "Socket LGA2066"),
    (0x3a, "Socket BGA1392"), (0x3b, "Socket BGA1510"), (0x3c, "Socket BGA1528"), (0x3d, "Socket LGA4189"),
    (0x3e, "Socket LGA1200"), (0x3f, "Socket LGA4677"), (0x40, "Socket LGA1700"), (0x41, "Socket BGA1744"),
    (0x42, "Socket BGA1781"), (0x43, "Socket BGA1211"), (0x44, "Socket BGA2422"), (0x45, "Socket LGA1211"),
    (0x46, "Socket LGA2422"), (0x47, "Socket LGA5773"), (0x48, "Socket BGA5773"), (0x49, "Socket AM5"),
    (0x4a, "Socket SP5"), (0x4b, "Socket SP6"), (0x4c, "Socket BGA883"), (0x4d, "Socket BGA1190"),
    (0x4e, "Socket BGA4129"), (0x4f, "Socket LGA4710"), (0x50, "Socket LGA7529"),
];

/// Table 72.
pub(super) const MEMORY_ARRAY_LOCATIONS: &[(u8, &str)] = &[
    (0x01, "Other"), (0x02, "Unknown"), (0x03, "System Board Or Motherboard"), (0x04, "ISA Add-on Card"),
    (0x05, "EISA Add-on Card"), (0x06, "PCI Add-on Card"), (0x07, "MCA Add-on Card"),
    (0x08, "PCMCIA Add-on Card"), (0x09, "Proprietary Add-on Card"), (0x0a, "NuBus"),
    (0xa0, "PC-98/C20 Add-on Card"), (0xa1, "PC-98/C24 Add-on Card"), (0xa2, "PC-98/E Add-on Card"),
    (0xa3, "PC-98/Local Bus Add-on Card"), (0xa4, "CXL Flexbus 1.0"),
];

/// Table 76.
pub(super) const MEMORY_FORM_FACTORS: &[(u8, &str)] = &[
    (0x01, "Other"), (0x02, "Unknown"), (0x03, "SIMM"), (0x04, "SIP"), (0x05, "Chip"), (0x06, "DIP"),
    (0x07, "ZIP"), (0x08, "Proprietary Card"), (0x09, "DIMM"), (0x0a, "TSOP"), (0x0b, "Row Of Chips"),
    (0x0c, "RIMM"), (0x0d, "SODIMM"), (0x0e, "SRIMM"), (0x0f, "FB-DIMM"), (0x10, "Die"), (0x11, "CAMM"),
];

/// Table 77.
pub(super) const MEMORY_TYPES: &[(u8, &str)] = &[
    (0x01, "Other"), (0x02, "Unknown"), (0x03, "DRAM"), (0x04, "EDRAM"), (0x05, "VRAM"), (0x06, "SRAM"),
    (0x07, "RAM"), (0x08, "ROM"), (0x09, "Flash"), (0x0a, "EEPROM"), (0x0b, "FEPROM"), (0x0c, "EPROM"),
    (0x0d, "CDRAM"), (0x0e, "3DRAM"), (0x0f, "SDRAM"), (0x10, "SGRAM"), (0x11, "RDRAM"), (0x12, "DDR"),
    (0x13, "DDR2"), (0x14, "DDR2 FB-DIMM"), (0x15, "Reserved"), (0x16, "Reserved"), (0x17, "Reserved"),
    (0x18, "DDR3"), (0x19, "FBD2"), (0x1a, "DDR4"), (0x1b, "LPDDR"), (0x1c, "LPDDR2"), (0x1d, "LPDDR3"),
    (0x1e, "LPDDR4"), (0x1f, "Logical non-volatile device"), (0x20, "HBM"), (0x21, "HBM2"), (0x22, "DDR5"),
    (0x23, "LPDDR5"), (0x24, "HBM3"),
];

/// Table 22, from code 1 on.
pub(super) const PROCESSOR_TYPES: &[&str] = &[
    "Other", "Unknown", "Central Processor", "Math Processor", "DSP Processor", "Video Processor",
];

/// Table 73, from code 1 on.
pub(super) const MEMORY_ARRAY_USES: &[&str] = &[
    "Other", "Unknown", "System Memory", "Video Memory", "Flash Memory", "Non-volatile RAM", "Cache Memory",
];

/// Table 74, from code 1 on.
pub(super) const ERROR_CORRECTIONS: &[&str] = &[
    "Other", "Unknown", "None", "Parity", "Single-bit ECC", "Multi-bit ECC", "CRC",
];

/// Table 79, from code 1 on.
pub(super) const MEMORY_TECHNOLOGIES: &[&str] = &[
    "Other", "Unknown", "DRAM", "NVDIMM-N", "NVDIMM-F", "NVDIMM-P", "Intel Optane DC persistent memory",
];

/// Table 78, from bit 1 on.
pub(super) const MEMORY_TYPE_DETAILS: &[&str] = &[
    "Other", "Unknown", "Fast-paged", "Static Column", "Pseudo-static", "RAMBus", "Synchronous", "CMOS",
    "EDO", "Window DRAM", "Cache DRAM", "Non-Volatile", "Registered (Buffered)",
    "Unbuffered (Unregistered)", "LRDIMM",
];

/// Table 80, from bit 1 on.
pub(super) const MEMORY_MODES: &[&str] = &[
    "Other", "Unknown", "Volatile memory", "Byte-accessible persistent memory",
    "Block-accessible persistent memory",
];

/// Table 7, from bit 4 on.
pub(super) const BIOS_CHARACTERISTICS: &[&str] = &[
    "ISA is supported", "MCA is supported", "EISA is supported", "PCI is supported",
    "PC Card (PCMCIA) is supported", "PNP is supported", "APM is supported", "BIOS is upgradeable",
    "BIOS shadowing is allowed", "VLB is supported", "ESCD support is available",
    "Boot from CD is supported", "Selectable boot is supported", "BIOS ROM is socketed",
    "Boot from PC Card (PCMCIA) is supported", "EDD is supported",
    "Japanese floppy for NEC 9800 1.2 MB is supported (int 13h)",
    "Japanese floppy for Toshiba 1.2 MB is supported (int 13h)",
    "5.25\"/360 kB floppy services are supported (int 13h)",
    "5.25\"/1.2 MB floppy services are supported (int 13h)",
    "3.5\"/720 kB floppy services are supported (int 13h)",
    "3.5\"/2.88 MB floppy services are supported (int 13h)", "Print screen service is supported (int 5h)",
    "8042 keyboard services are supported (int 9h)", "Serial services are supported (int 14h)",
    "Printer services are supported (int 17h)", "CGA/mono video services are supported (int 10h)",
    "NEC PC-98",
];

/// Table 8, from bit 0 on.
pub(super) const BIOS_EXTENSION_1: &[&str] = &[
    "ACPI is supported", "USB legacy is supported", "AGP is supported", "I2O boot is supported",
    "LS-120 boot is supported", "ATAPI Zip drive boot is supported", "IEEE 1394 boot is supported",
    "Smart battery is supported",
];

/// Table 9, from bit 0 on.
pub(super) const BIOS_EXTENSION_2: &[&str] = &[
    "BIOS boot specification is supported", "Function key-initiated network boot is supported",
    "Targeted content distribution is supported", "UEFI is supported", "System is a virtual machine",
    "Manufacturing mode is supported", "Manufacturing mode is enabled",
];

/// Table 26, from bit 2 on.
pub(super) const PROCESSOR_CHARACTERISTICS: &[&str] = &[
    "64-bit capable", "Multi-Core", "Hardware Thread", "Execute Protection", "Enhanced Virtualization",
    "Power/Performance Control", "128-bit Capable", "Arm64 SoC ID",
];

/// What CPUID leaf 1 says in EDX, by bit.
pub(super) const CPU_FLAGS: &[(u32, &str)] = &[
    (0, "FPU (Floating-point unit on-chip)"),
    (1, "VME (Virtual mode extension)"),
    (2, "DE (Debugging extension)"),
    (3, "PSE (Page size extension)"),
    (4, "TSC (Time stamp counter)"),
    (5, "MSR (Model specific registers)"),
    (6, "PAE (Physical address extension)"),
    (7, "MCE (Machine check exception)"),
    (8, "CX8 (CMPXCHG8 instruction supported)"),
    (9, "APIC (On-chip APIC hardware supported)"),
    (11, "SEP (Fast system call)"),
    (12, "MTRR (Memory type range registers)"),
    (13, "PGE (Page global enable)"),
    (14, "MCA (Machine check architecture)"),
    (15, "CMOV (Conditional move instruction supported)"),
    (16, "PAT (Page attribute table)"),
    (17, "PSE-36 (36-bit page size extension)"),
    (18, "PSN (Processor serial number present and enabled)"),
    (19, "CLFSH (CLFLUSH instruction supported)"),
    (21, "DS (Debug store)"),
    (22, "ACPI (ACPI supported)"),
    (23, "MMX (MMX technology supported)"),
    (24, "FXSR (FXSAVE and FXSTOR instructions supported)"),
    (25, "SSE (Streaming SIMD extensions)"),
    (26, "SSE2 (Streaming SIMD extensions 2)"),
    (27, "SS (Self-snoop)"),
    (28, "HTT (Multi-threading)"),
    (29, "TM (Thermal monitor supported)"),
    (31, "PBE (Pending break enabled)"),
];
