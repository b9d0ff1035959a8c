//! The `oubliette` binary: run the command line, hand its outcome to the operating system.

use oubliette::cli::exit::Exit;

fn main() -> Exit {
    oubliette::cli::run()
}
