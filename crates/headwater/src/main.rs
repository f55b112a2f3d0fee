//! The program `headwater`.

mod program;

use std::process::ExitCode;

/// Many small buffers of similar sizes come and go on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    program::run()
}
