//! What a process gives up before it looks at the first byte of a stranger: its user, its capabilities, everything that it could be given
//! again, all files but those it needs (Landlock), all system calls but those it needs (seccomp). Nothing that attackers speak to can
//! open a socket.
#![expect(
    unsafe_code,
    reason = "users, capabilities and process controls have no safe interface in the standard library"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, path_beneath_rules,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// What a process keeps.
#[derive(Clone, Copy, Debug)]
pub struct Keeps<'a> {
    /// The user it becomes, where it is root.
    pub user: Option<User>,
    /// Folders in which it reads and writes.
    pub writes: &'a [&'a Path],
    /// Folders and files in which it reads.
    pub reads: &'a [&'a Path],
    /// Whether it speaks to other machines: it ships, and nobody whom it does not know speaks to it.
    pub network: bool,
}

/// A user and its group, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub id: u32,
    /// Its group.
    pub group: u32,
}

impl User {
    /// The first of these names that the machine knows.
    pub fn named(names: &[&str]) -> Option<User> {
        let users = fs::read_to_string("/etc/passwd").ok()?;
        names.iter().find_map(|name| {
            let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut numbers = line.split(':').skip(2).map(str::parse);
            Some(User { id: numbers.next()?.ok()?, group: numbers.next()?.ok()? })
        })
    }
}

/// What could be given up, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Whether it is another user than root.
    pub user: bool,
    /// How far files and TCP are closed: `all`, `some` (an older kernel), `nothing`.
    pub landlock: &'static str,
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether this process is root, in whatever user namespace it is in.
pub fn is_root() -> bool {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Gives up everything else, for good.
///
/// # Errors
/// Where something cannot be given up that could: then nothing should be done with what is left.
pub fn give_up(keeps: &Keeps<'_>) -> io::Result<Given> {
    let named =
        |what: &'static str| move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"));
    drop_bounding_set();
    let mut user = !is_root();
    if let Some(User { id, group }) = keeps.user.filter(|_| is_root()) {
        // SAFETY: they take numbers, and an empty list.
        let became = unsafe {
            done(libc::setgroups(0, std::ptr::null()))
                .and_then(|()| done(libc::setresgid(group, group, group)))
                .and_then(|()| done(libc::setresuid(id, id, id)))
        };
        match became {
            Ok(()) => user = true,
            // In a user namespace of one user there is nobody else to become.
            Err(error)
                if error.raw_os_error() == Some(libc::EINVAL)
                    || error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(named("another user")(error)),
        }
    }
    drop_capabilities().map_err(named("capabilities"))?;
    // SAFETY: they take numbers.
    unsafe {
        done(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)).map_err(named("no_new_privs"))?;
        done(libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0)).map_err(named("dumpable"))?;
    }
    let landlock = close_files(keeps).map_err(named("Landlock"))?;
    let closed = if keeps.network { close_some_calls() } else { close_calls() };
    closed.map_err(named("seccomp"))?;
    Ok(Given { user, landlock })
}

/// Gives up all capabilities, and everything that could give them back: for a process of somebody who has some, and which needs none.
///
/// # Errors
/// As the system says.
pub fn give_up_capabilities() -> io::Result<()> {
    drop_bounding_set();
    drop_capabilities()?;
    // SAFETY: it takes numbers.
    unsafe { done(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) }
}

/// Nothing that is executed could be given these again. Without the right to do so it is as well: nothing can be executed.
fn drop_bounding_set() {
    const LAST: libc::c_ulong = 63;
    for capability in 0..=LAST {
        // SAFETY: it takes numbers.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
    }
}

fn drop_capabilities() -> io::Result<()> {
    // linux/capability.h: version 3 takes a header and two rows of three words.
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let none = [0u32; 6];
    // SAFETY: it reads the header and the rows.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    done(result as libc::c_int)?;
    // SAFETY: it takes numbers.
    unsafe { done(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)) }
}

/// Leaves it the files that it keeps, and of TCP what it may.
fn close_files(keeps: &Keeps<'_>) -> io::Result<&'static str> {
    let abi = ABI::V5;
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|ruleset| {
            // Nobody connects to it in any case.
            ruleset.handle_access(if keeps.network {
                AccessNet::BindTcp.into()
            } else {
                AccessNet::from_all(abi)
            })
        })
        .and_then(|ruleset| ruleset.create())
        .and_then(|created| {
            created.add_rules(path_beneath_rules(keeps.writes, AccessFs::from_all(abi) & !AccessFs::Execute))
        })
        .and_then(|created| {
            created.add_rules(path_beneath_rules(keeps.reads, AccessFs::from_read(abi) & !AccessFs::Execute))
        })
        .and_then(|created| created.restrict_self())
        .map_err(io::Error::other)?;
    Ok(match ruleset.ruleset {
        RulesetStatus::FullyEnforced => "all",
        RulesetStatus::PartiallyEnforced => "some",
        RulesetStatus::NotEnforced => "nothing",
    })
}

/// System calls that remain: files of the spool, the socket that is open, time, memory, signals, the end.
const CALLS: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_lseek,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    libc::SYS_mkdirat,
    libc::SYS_getdents64,
    libc::SYS_fcntl,
    libc::SYS_ppoll,
    libc::SYS_recvfrom,
    libc::SYS_sendmmsg,
    libc::SYS_getsockopt,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// The same under older names, which newer processors' systems do not have.
#[cfg(target_arch = "x86_64")]
const OLD_CALLS: &[i64] = &[libc::SYS_rename, libc::SYS_unlink, libc::SYS_mkdir, libc::SYS_poll];
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: &[i64] = &[];

/// What nobody who only ships has to do: run programs, look into other processes, change what is mounted, speak to the kernel's insides.
const DANGEROUS: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_kexec_load,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_send_signal,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_mknodat,
];

/// The same under older names.
#[cfg(target_arch = "x86_64")]
const OLD_DANGEROUS: &[i64] = &[libc::SYS_symlink, libc::SYS_link, libc::SYS_mknod];
#[cfg(not(target_arch = "x86_64"))]
const OLD_DANGEROUS: &[i64] = &[];

fn apply(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> io::Result<()> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, otherwise, matched, arch).map_err(io::Error::other)?;
    let program = BpfProgram::try_from(filter).map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

/// Leaves it all system calls but those, and no packet socket.
fn close_some_calls() -> io::Result<()> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        DANGEROUS.iter().chain(OLD_DANGEROUS).map(|call| (*call, Vec::new())).collect();
    let packets = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, libc::AF_PACKET as u64)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(io::Error::other)?;
    rules.insert(libc::SYS_socket, vec![packets]);
    apply(rules, SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32))
}

/// Leaves it those system calls; all others fail.
fn close_calls() -> io::Result<()> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        CALLS.iter().chain(OLD_CALLS).map(|call| (*call, Vec::new())).collect();
    // A signal to itself, as an abort sends it, and to nobody else.
    let own = u64::from(std::process::id());
    let itself = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, own)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(io::Error::other)?;
    rules.insert(libc::SYS_tgkill, vec![itself]);
    apply(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
}
