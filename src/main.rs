//! The `oubliette` binary: runs the command line and exits with its outcome.

use oubliette::cli::exit::Exit;

fn main() -> Exit {
    oubliette::cli::run()
}
