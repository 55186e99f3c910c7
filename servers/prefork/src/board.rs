//! A lamp for each worker, lit while it waits for the store: memory that master and workers share, as a message for
//! each request would cost more than the request.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    ptr, slice,
    sync::atomic::{AtomicU8, Ordering},
};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstat, ftruncate, memfd_create},
    mm::{MapFlags, ProtFlags, mmap},
};

/// All lamps, dark at first. Anybody may look at one; only its worker switches it, and the master between two workers.
#[derive(Debug)]
pub struct Board {
    memory: OwnedFd,
    lamps: &'static [Lamp],
}

/// On a cache line of its own, so that workers do not slow each other down. Not a bool, as another process could write
/// what none can be.
#[derive(Debug)]
#[repr(align(64))]
struct Lamp(AtomicU8);

impl Board {
    /// The master's: one lamp for each worker.
    pub fn new(workers: u32) -> io::Result<Self> {
        let memory = memfd_create("lamps", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&memory, u64::from(workers) * size_of::<Lamp>() as u64)?;
        fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Self::open(memory)
    }

    /// A worker's: the master's, inherited.
    pub fn open(memory: OwnedFd) -> io::Result<Self> {
        let bytes = usize::try_from(fstat(&memory)?.st_size).map_err(io::Error::other)?;
        // SAFETY: the kernel chooses a place where nothing else is. The memory is never unmapped, and as the file is
        // sealed against shrinking, every byte of the mapping stays backed.
        let start =
            unsafe { mmap(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &memory, 0)? };
        // SAFETY: the mapping begins at a page, which is aligned for a lamp; it holds so many of them; it lives as long
        // as the program. Any bytes are a valid lamp, and no process reads or writes them but as the atomics that they
        // are.
        let lamps = unsafe { slice::from_raw_parts(start.cast::<Lamp>(), bytes / size_of::<Lamp>()) };
        Ok(Self { memory, lamps })
    }

    pub fn set(&self, worker: u32, waits: bool) {
        if let Some(Lamp(lamp)) = self.lamps.get(worker as usize) {
            // A hint and no more: nothing else is to be seen in order with it.
            lamp.store(u8::from(waits), Ordering::Relaxed);
        }
    }

    pub fn waits(&self, worker: u32) -> bool {
        self.lamps.get(worker as usize).is_some_and(|Lamp(lamp)| lamp.load(Ordering::Relaxed) != 0)
    }
}

impl AsFd for Board {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_process_switches_the_other_sees() {
        let master = Board::new(100).unwrap();
        let worker = Board::open(master.as_fd().try_clone_to_owned().unwrap()).unwrap();
        assert!((0..100).all(|number| !master.waits(number)));
        worker.set(99, true);
        assert!(master.waits(99) && !master.waits(98));
        master.set(99, false);
        assert!(!worker.waits(99));
    }

    #[test]
    fn a_worker_that_has_no_lamp_is_never_seen_waiting() {
        let board = Board::new(1).unwrap();
        board.set(1, true);
        assert!(!board.waits(1));
    }
}
