//! Click ids to join with. In: the `Location` of redirects. Out: each click id at most once, for a
//! form's hidden field or a pixel. Holds at most 1,024; a full pool forgets one at random.

use crate::dice::Dice;

/// Enough that a drawn click is on average some tenths of a second old at 1,000 clicks/s.
const CLICKS_MAX: usize = 1_024;
/// A longer value is no click id of ours.
const CLICK_ID_CHARS_MAX: usize = 256;

/// Click ids that wait to be used.
#[derive(Default)]
pub struct ClickPool {
    ids: Vec<String>,
}

impl ClickPool {
    /// Keeps the click id of a redirect's `Location`, if it has one.
    pub fn put(&mut self, location: &[u8], dice: &mut Dice) {
        let Some(id) = click_id_in(location) else { return };
        if self.ids.len() < CLICKS_MAX {
            self.ids.push(id);
        } else {
            self.ids[dice.below(CLICKS_MAX as u64) as usize] = id;
        }
    }

    /// Takes one out, if there is one.
    pub fn draw(&mut self, dice: &mut Dice) -> Option<String> {
        let count = self.ids.len() as u64;
        (count > 0).then(|| self.ids.swap_remove(dice.below(count) as usize))
    }
}

/// The value of `lt` in a URL's query, when it needs no decoding (ours never does).
fn click_id_in(location: &[u8]) -> Option<String> {
    let url = std::str::from_utf8(location).ok()?;
    let (_, query) = url.split('#').next()?.split_once('?')?;
    let id = query.split('&').find_map(|pair| pair.strip_prefix("lt="))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    (!id.is_empty() && id.len() <= CLICK_ID_CHARS_MAX && id.bytes().all(plain))
        .then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_click_id_is_found_wherever_it_stands() {
        let id = |location: &str| click_id_in(location.as_bytes());
        assert_eq!(id("https://shop.example/a?lt=Ab-_9"), Some("Ab-_9".into()));
        assert_eq!(id("/a?x=1&lt=k&y=2#lt=z"), Some("k".into()));
        assert_eq!(id("/a?salt=1"), None);
        assert_eq!(id("/a?lt="), None);
        assert_eq!(id("/a?lt=%20"), None);
        assert_eq!(id("/a#?lt=1"), None);
        assert_eq!(id("/lt=1"), None);
    }

    #[test]
    fn each_click_is_drawn_once_and_the_pool_is_bounded() {
        let (mut pool, mut dice) = (ClickPool::default(), Dice::of(1, 1));
        assert_eq!(pool.draw(&mut dice), None);
        for number in 0..CLICKS_MAX + 100 {
            pool.put(format!("/?lt={number}").as_bytes(), &mut dice);
        }
        let mut drawn: Vec<String> = std::iter::from_fn(|| pool.draw(&mut dice)).collect();
        assert_eq!(drawn.len(), CLICKS_MAX);
        drawn.sort();
        drawn.dedup();
        assert_eq!(drawn.len(), CLICKS_MAX);
    }
}
