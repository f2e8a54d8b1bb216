//! Words: texts that repeat, each kept once and known by a number.
//!
//! In: texts. Out: numbers, and texts again. Promises: 10 bytes a word beside its text.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Words that stand once. Word 0 is the empty one.
#[derive(Default)]
pub struct Words {
    text: String,
    /// Where each word but the first ends.
    ends: Vec<u32>,
    known: HashTable<u32>,
}

impl Words {
    /// The text of a word.
    pub fn get(&self, word: u32) -> &str {
        let Some(index) = (word as usize).checked_sub(1) else { return "" };
        let begin = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.text[begin..self.ends[index] as usize]
    }

    /// The word of a text, if it stands.
    pub fn find(&self, text: &str, hasher: &DefaultHashBuilder) -> Option<u32> {
        if text.is_empty() {
            return Some(0);
        }
        self.known.find(hasher.hash_one(text), |word| self.get(*word) == text).copied()
    }

    /// The word of a text, which stands from then on.
    pub fn intern(&mut self, text: &str, hasher: &DefaultHashBuilder) -> u32 {
        if let Some(word) = self.find(text, hasher) {
            return word;
        }
        self.text.push_str(text);
        self.ends.push(self.text.len() as u32);
        let word = self.ends.len() as u32;
        let mut known = std::mem::take(&mut self.known);
        known.insert_unique(hasher.hash_one(text), word, |word| hasher.hash_one(self.get(*word)));
        self.known = known;
        word
    }
}
