//! Images over lent connections, onto a file that stands for a disk.
