//! The migrations are compiled in; a new folder among them is no change of any source file, so cargo is told to look.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
