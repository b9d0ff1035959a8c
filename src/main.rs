//! The `oubliette` binary: runs the command line and exits with its outcome.

use oubliette::cli::exit::Exit;

/// The allocator of musl gives each buffer of a block back to the kernel, and takes turns between threads.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Exit {
    oubliette::cli::run()
}
