//! `Kept`: values that live for as long as every compilation asks for them again.

use std::{collections::HashMap, hash::Hash, mem};

/// A table that forgets what one whole turn did not use.
pub(super) struct Kept<K, V> {
    before: HashMap<K, V>,
    current: HashMap<K, V>,
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self {
            before: HashMap::new(),
            current: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    pub(super) fn begin(&mut self) {
        self.before = mem::take(&mut self.current);
    }

    /// Drops what was not asked for since [`begin`](Self::begin).
    pub(super) fn end(&mut self) {
        self.before = HashMap::new();
    }

    pub(super) fn get_or_make<E>(
        &mut self,
        key: K,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        if let Some(value) = self.current.get(&key) {
            return Ok(value.clone());
        }
        let value = match self.before.remove(&key) {
            Some(value) => value,
            None => make()?,
        };
        self.current.insert(key, value.clone());
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn what_a_turn_did_not_use_is_forgotten() {
        let mut kept = Kept::default();
        let mut made = 0;
        let mut turn = |keys: &[&'static str]| {
            kept.begin();
            let values: Vec<i32> = keys
                .iter()
                .map(|key| {
                    kept.get_or_make(*key, || {
                        made += 1;
                        Ok::<_, Infallible>(made)
                    })
                    .expect("it is infallible")
                })
                .collect();
            kept.end();
            values
        };
        assert_eq!(turn(&["a", "b", "a"]), [1, 2, 1]);
        assert_eq!(turn(&["b"]), [2]);
        assert_eq!(turn(&["a", "b"]), [3, 2]);
    }
}
