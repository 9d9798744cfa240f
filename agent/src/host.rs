//! Where the host is: roots of `/proc`, `/sys` and of the file system, and its units.
