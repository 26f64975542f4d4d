//! Objects that the stand-in made and remembers: responses, files, batches. Ids are its own, so that another
//! provider's id is unknown to it.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};

pub(super) struct Kept {
    /// Tells one stand-in's ids from another's.
    name: u16,
    next: AtomicU64,
    objects: Mutex<HashMap<String, Object>>,
}

struct Object {
    body: Value,
    /// What a job in the background becomes, and how often it must be asked for until then.
    done: Option<(Value, u64)>,
}

impl Kept {
    pub(super) fn new(name: u16) -> Self {
        Self {
            name,
            next: AtomicU64::new(1),
            objects: Mutex::default(),
        }
    }

    /// A fresh id: `prefix`, then what no other object has.
    pub(super) fn id(&self, prefix: &str) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{prefix}{}x{number}", self.name)
    }

    /// Keeps an object under its `id`.
    pub(super) fn put(&self, body: &Value) {
        let object = Object {
            body: body.clone(),
            done: None,
        };
        self.insert(object);
    }

    /// Keeps a job that is done when it is asked for the `polls`-th time.
    pub(super) fn put_job(&self, queued: &Value, done: Value, polls: u64) {
        let object = Object {
            body: queued.clone(),
            done: Some((done, polls)),
        };
        self.insert(object);
    }

    fn insert(&self, object: Object) {
        if let Some(id) = object.body.get("id").and_then(Value::as_str) {
            self.lock().insert(id.to_owned(), object);
        }
    }

    /// The object as it is now; `None` when this stand-in never made it.
    pub(super) fn get(&self, id: &str) -> Option<Value> {
        let mut objects = self.lock();
        let object = objects.get_mut(id)?;
        if let Some((done, polls)) = &mut object.done {
            *polls = polls.saturating_sub(1);
            if *polls == 0 {
                object.body = done.take();
                object.done = None;
            }
        }
        Some(object.body.clone())
    }

    /// Ends a job as it is.
    pub(super) fn cancel(&self, id: &str) -> Option<Value> {
        let mut objects = self.lock();
        let object = objects.get_mut(id)?;
        object.done = None;
        object.body["status"] = json!("cancelled");
        Some(object.body.clone())
    }

    pub(super) fn remove(&self, id: &str) -> Option<Value> {
        self.lock().remove(id).map(|object| object.body)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Object>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
