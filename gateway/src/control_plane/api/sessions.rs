//! `Sessions`: logins of browsers, in memory only. What a browser or a link holds is random and known here by
//! its hash.

mod throttle;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, MutexGuard, OnceLock},
};

use jiff::{SignedDuration, Timestamp};
use zeroize::Zeroizing;

use super::{auth, id};
use crate::control_plane::resource::Role;
use throttle::Throttle;

/// One more takes the place of the one that was idle longest.
const SESSIONS_MAX: usize = 256;
/// As above, the oldest.
const CODES_MAX: usize = 64;
const LIFETIME: SignedDuration = SignedDuration::from_hours(12);
/// Without a request.
const IDLE_MAX: SignedDuration = SignedDuration::from_hours(1);
const CODE_LIFETIME: SignedDuration = SignedDuration::from_mins(5);
/// 200 random bits: 40 characters.
const SECRET_BYTES: usize = 25;

/// See the module.
#[derive(Default)]
pub struct Sessions {
    table: Mutex<Table>,
    failures: Mutex<Throttle>,
    /// Where browsers reach the management API.
    listener: OnceLock<SocketAddr>,
}

#[derive(Default)]
struct Table {
    sessions: HashMap<String, Session>,
    codes: HashMap<String, Code>,
}

/// What a login is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// Who logged in: an actor's id and name.
    pub(super) actor: String,
    pub(super) name: Option<String>,
    pub(super) role: Role,
    /// The token that it began with, and ends with.
    pub(super) token_id: Option<String>,
    pub(super) expires_at: Timestamp,
    last_used: Timestamp,
}

struct Code {
    actor: String,
    role: Role,
    expires_at: Timestamp,
}

/// What is told once: a code, or what goes into a cookie.
pub(super) type Told = Zeroizing<String>;

impl Sessions {
    /// Browsers reach the management API there; the first call counts.
    pub fn reachable_at(&self, listener: SocketAddr) {
        let _ = self.listener.set(listener);
    }

    pub(super) fn listener(&self) -> Option<SocketAddr> {
        self.listener.get().copied()
    }

    /// A code for one login with `role`, and when it stops working.
    pub(super) fn new_code(&self, actor: String, role: Role, now: Timestamp) -> (Told, Timestamp) {
        let mut table = self.table();
        table.codes.retain(|_, code| now < code.expires_at);
        if table.codes.len() >= CODES_MAX {
            let oldest = table.codes.iter().min_by_key(|(_, code)| code.expires_at);
            let oldest = oldest.map(|(hash, _)| hash.clone());
            oldest.and_then(|hash| table.codes.remove(&hash));
        }
        let (secret, hash) = new_secret();
        let expires_at = now + CODE_LIFETIME;
        let code = Code {
            actor,
            role,
            expires_at,
        };
        table.codes.insert(hash, code);
        (secret, expires_at)
    }

    /// Takes a code out of use, and logs in with it; `None` when there is no such code.
    pub(super) fn begin_with_code(&self, code: &str, now: Timestamp) -> Option<(Told, Session)> {
        let code = self.table().codes.remove(&auth::hash(code))?;
        (now < code.expires_at).then(|| self.begin(code.actor, None, code.role, None, now))
    }

    /// Logs in with a token that holds until `token_end`.
    pub(super) fn begin_with_token(
        &self,
        token: (String, String, Role),
        token_end: Option<Timestamp>,
        now: Timestamp,
    ) -> (Told, Session) {
        let (id, name, role) = token;
        let actor = format!("token:{id}");
        self.begin(actor, Some(name), role, Some((id, token_end)), now)
    }

    fn begin(
        &self,
        actor: String,
        name: Option<String>,
        role: Role,
        token: Option<(String, Option<Timestamp>)>,
        now: Timestamp,
    ) -> (Told, Session) {
        let (token_id, token_end) = match token {
            Some((id, end)) => (Some(id), end),
            None => (None, None),
        };
        let end = now + LIFETIME;
        let session = Session {
            actor,
            name,
            role,
            token_id,
            expires_at: token_end.map_or(end, |token_end| token_end.min(end)),
            last_used: now,
        };
        let mut table = self.table();
        table.sessions.retain(|_, session| session.holds(now));
        if table.sessions.len() >= SESSIONS_MAX {
            let idle = table
                .sessions
                .iter()
                .min_by_key(|(_, session)| session.last_used);
            let idle = idle.map(|(hash, _)| hash.clone());
            idle.and_then(|hash| table.sessions.remove(&hash));
        }
        let (secret, hash) = new_secret();
        table.sessions.insert(hash, session.clone());
        (secret, session)
    }

    /// The session of a cookie, which is thereby in use.
    pub(super) fn find(&self, cookie: &str, now: Timestamp) -> Option<Session> {
        let mut table = self.table();
        let hash = auth::hash(cookie);
        let session = table.sessions.get_mut(&hash)?;
        if !session.holds(now) {
            table.sessions.remove(&hash);
            return None;
        }
        session.last_used = now;
        Some(session.clone())
    }

    pub(super) fn end(&self, cookie: &str) {
        self.table().sessions.remove(&auth::hash(cookie));
    }

    /// # Errors
    /// How many seconds this address is to wait before it may try to log in again.
    pub(super) fn may_try(&self, address: Option<IpAddr>, now: Timestamp) -> Result<(), u64> {
        self.failures().may_try(address, now)
    }

    pub(super) fn failed(&self, address: Option<IpAddr>, now: Timestamp) {
        self.failures().failed(address, now);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("nothing panics while it is held")
    }

    fn failures(&self) -> MutexGuard<'_, Throttle> {
        self.failures
            .lock()
            .expect("nothing panics while it is held")
    }
}

impl Session {
    fn holds(&self, now: Timestamp) -> bool {
        now < self.expires_at && now < self.last_used + IDLE_MAX
    }
}

fn new_secret() -> (Told, String) {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    id::fill_random(&mut *bytes);
    let mut secret = Zeroizing::new(String::with_capacity(SECRET_BYTES * 8 / 5));
    id::encode_into(&*bytes, &mut secret);
    let hash = auth::hash(&secret);
    (secret, hash)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    fn begun(sessions: &Sessions, now: Timestamp) -> Told {
        let (code, _) = sessions.new_code("uid:0".to_owned(), Role::Admin, now);
        sessions.begin_with_code(&code, now).unwrap().0
    }

    #[test]
    fn a_code_works_once_and_for_five_minutes() {
        let sessions = Sessions::default();
        let code = |now| sessions.new_code("uid:0".to_owned(), Role::Auditor, now).0;
        let first = code(at(0));
        let (_, session) = sessions.begin_with_code(&first, at(4)).unwrap();
        assert_eq!((session.role, &*session.actor), (Role::Auditor, "uid:0"));
        assert!(sessions.begin_with_code(&first, at(4)).is_none());
        let late = code(at(10));
        assert!(sessions.begin_with_code(&late, at(15)).is_none());
        assert!(sessions.begin_with_code("made up", at(15)).is_none());
    }

    #[test]
    fn a_session_ends_idle_or_old_or_when_told_to() {
        let sessions = Sessions::default();
        let idle = begun(&sessions, at(0));
        assert!(sessions.find(&idle, at(59)).is_some());
        assert!(sessions.find(&idle, at(59 + 59)).is_some());
        assert!(sessions.find(&idle, at(59 + 59 + 60)).is_none());
        let old = begun(&sessions, at(0));
        for minute in (0..12 * 60).step_by(30) {
            assert!(sessions.find(&old, at(minute)).is_some(), "{minute}");
        }
        assert!(sessions.find(&old, at(12 * 60)).is_none());
        let left = begun(&sessions, at(0));
        sessions.end(&left);
        assert!(sessions.find(&left, at(0)).is_none());
    }

    #[test]
    fn both_tables_are_bounded() {
        let sessions = Sessions::default();
        let first = begun(&sessions, at(0));
        let used = begun(&sessions, at(0));
        sessions.find(&used, at(1)).unwrap();
        for _ in 0..SESSIONS_MAX - 1 {
            begun(&sessions, at(2));
        }
        assert_eq!(sessions.table().sessions.len(), SESSIONS_MAX);
        assert!(sessions.find(&first, at(2)).is_none());
        assert!(sessions.find(&used, at(2)).is_some());
        for _ in 0..CODES_MAX + 5 {
            sessions.new_code("uid:0".to_owned(), Role::Admin, at(2));
        }
        assert_eq!(sessions.table().codes.len(), CODES_MAX);
    }

    #[test]
    fn a_session_ends_with_its_token() {
        let sessions = Sessions::default();
        let token = ("token_1".to_owned(), "ci".to_owned(), Role::Metrics);
        let (cookie, session) = sessions.begin_with_token(token, Some(at(3)), at(0));
        assert_eq!(session.expires_at, at(3));
        assert!(sessions.find(&cookie, at(2)).is_some());
        assert!(sessions.find(&cookie, at(3)).is_none());
    }
}
