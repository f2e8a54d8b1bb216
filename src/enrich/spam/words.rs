//! Words: what is in no language, what is repeated, and how many links a text holds.
//!
//! In: text that a person, or a program, typed. Out: counts and yes or no. Promises: what can't be judged is never judged: words in
//! another script, with a letter outside ASCII, with a digit, or shorter than seven letters count as language.
//!
//! Gibberish is told by triples of letters. A table holds the 7,890 of 17,576 that stand in at least three of 135,821 words of place
//! names from the whole world; a word of which four triples in ten or more stand nowhere in it is in no language. Of random words it finds 67 to 81 in a hundred
//! (7 to 12 letters), and of `asdfghjkl`, `sdfsdfsdf` and their like nearly all; Brzęczyszczykiewicz,
//! Llanfairpwllgwyngyll, Mukhopadhyay, Mkhitaryan and Angstschweiss pass (`config/spam/README.md` says how the table was made).

/// A bit for each triple of letters: bit `i % 8` of byte `i / 8`, with `i` the triple read as a number of base 26.
const TRIPLES: &[u8; 2_197] = include_bytes!("../../../config/spam/trigrams.bin");

/// Shorter words have too few triples.
const LETTERS_MIN: usize = 7;

/// Longer ones are looked at so far.
const LETTERS_MAX: usize = 64;

/// Bytes of a text that are looked at: what comes later is hardly better.
pub const TEXT_BYTES_MAX: usize = 4_096;

/// Letters and digits from which on a text of one or two of them is no word.
const REPEATED_LETTERS_MIN: usize = 15;

/// Words from which on a text of one word is no sentence.
const REPEATED_WORDS_MIN: usize = 6;

fn is_known(triple: &[u8]) -> bool {
    let index = triple.iter().fold(0, |sum, letter| sum * 26 + usize::from(letter - b'a'));
    TRIPLES[index / 8] & (1 << (index % 8)) != 0
}

/// Whether a word is in no language; `None` where it can't be told.
fn is_gibberish_word(word: &str) -> Option<bool> {
    if word.len() < LETTERS_MIN || !word.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    let letters: Vec<u8> =
        word.bytes().take(LETTERS_MAX).map(|byte| byte.to_ascii_lowercase()).collect();
    let unknown = letters.windows(3).filter(|triple| !is_known(triple)).count();
    Some(unknown * 10 >= (letters.len() - 2) * 4)
}

/// Words as people separate them; addresses, links and codes are none.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let text = cut(text);
    text.split_whitespace()
        .filter(|word| !word.contains(['@', '/', ':', '_', '=']))
        .flat_map(|word| word.split(|character: char| !character.is_alphanumeric()))
        .filter(|word| !word.is_empty())
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

/// True for a name of which every word that can be judged is in no language.
pub fn is_gibberish_name(name: &str) -> bool {
    let judged: Vec<bool> = words(name).filter_map(is_gibberish_word).collect();
    !judged.is_empty() && judged.iter().all(|gibberish| *gibberish)
}

/// True for a text of which half of the words that can be judged are in no language, and not just one of many.
pub fn is_gibberish_text(text: &str) -> bool {
    let (mut all, mut judged, mut gibberish) = (0, 0, 0);
    for word in words(text) {
        all += 1;
        if let Some(is_gibberish) = is_gibberish_word(word) {
            judged += 1;
            gibberish += usize::from(is_gibberish);
        }
    }
    gibberish * 2 >= judged && (gibberish >= 2 || (gibberish == 1 && all <= 2))
}

/// True for a text that is one or two letters, or one word, over and over, and nothing else.
pub fn is_repeated(text: &str) -> bool {
    let text = cut(text);
    let mut seen: [Option<char>; 2] = [None; 2];
    let mut count = 0;
    let letters = text.chars().filter(|character| character.is_alphanumeric());
    let few = letters.flat_map(char::to_lowercase).all(|letter| {
        count += 1;
        match seen.iter_mut().find(|slot| slot.is_none_or(|known| known == letter)) {
            Some(slot) => {
                *slot = Some(letter);
                true
            }
            None => false,
        }
    });
    if few && count >= REPEATED_LETTERS_MIN {
        return true;
    }
    let mut all = text.split_whitespace();
    let Some(first) = all.next() else { return false };
    let mut same = 1;
    all.all(|word| {
        same += 1;
        word.to_lowercase() == first.to_lowercase()
    }) && same >= REPEATED_WORDS_MIN
}

/// How many links a text holds.
pub fn links(text: &str) -> usize {
    let text = cut(text).to_ascii_lowercase();
    let schemes = text.matches("http://").count() + text.matches("https://").count();
    let bare = text
        .match_indices("www.")
        .filter(|(at, _)| {
            let before = text[..*at].chars().next_back();
            before
                .is_none_or(|character| !character.is_alphanumeric() && !"/@.".contains(character))
        })
        .count();
    schemes + bare
}

/// True for a text with links in a markup: nobody types that into a form.
pub fn has_link_markup(text: &str) -> bool {
    let text = cut(text).to_ascii_lowercase();
    (text.contains("<a ") && text.contains("href"))
        || text.contains("[url")
        || text.contains("[link=")
}

/// True for a name with an address in it.
pub fn has_link(text: &str) -> bool {
    let text = cut(text).to_ascii_lowercase();
    text.contains("http://") || text.contains("https://") || text.contains("www.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PEOPLE: [&str; 40] = [
        "Grzegorz Brzęczyszczykiewicz",
        "Brzeczyszczykiewicz",
        "Chrząszczyżewoszyce",
        "Krzysztof Przybyszewski",
        "Wojciechowski",
        "Zbigniew Szczepański",
        "Llywelyn ap Gruffudd",
        "Rhydderch Myfanwy",
        "Gwrtheyrn",
        "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch",
        "Cwmrhydyceirw",
        "তানভীর আহমেদ",
        "নুসরাত জাহান",
        "محمد اقبال",
        "山田 太郎",
        "김 민준",
        "Šime Čučković",
        "Tanvir Mukhopadhyay",
        "Bandyopadhyay",
        "Bhattacharya",
        "Muhammad Qureshi",
        "Chaudhry Siddiqui",
        "Nkosinathi Tshabalala",
        "Hlongwane Mkhize",
        "Henrikh Mkhitaryan",
        "Mkrtchyan",
        "Thorvaldsson",
        "Kierkegaard",
        "Papadopoulos",
        "Yıldırım Çağdaş",
        "Krishnamurthy",
        "Wickramasinghe",
        "Subrahmanyam Venkataraghavan",
        "Zhuangzi Xiangqian",
        "O'Neill",
        "d'Ávila Conceição",
        "Núñez de la Peña",
        "Schwarzenegger",
        "Tuyết Nguyễn",
        "Knightsbridge",
    ];

    const MESSAGES: [&str; 8] = [
        "Hello, I would like a quote for 25 seats & a demo next week.\r\nBudget: <= $5,000; 100% sure.\r\n\r\nThanks! 👍🏽 — Regards",
        "আপনাদের পণ্য সম্পর্কে জানতে চাই।\r\nদাম কত? ডেলিভারি কত দিনে?\r\n\r\nধন্যবাদ 🙏 ",
        "السلام علیکم، مجھے آپ کی مصنوعات کے بارے میں معلومات چاہییں۔\r\nقیمت کیا ہے؟ شکریہ 🌹",
        "Assalamualaikum bhai, apnader product-er dam koto janaben please, delivery kotodine pabo?",
        "Dzien dobry, prosze o oferte na wynajem szczotkarki przemyslowej, najlepiej wraz z dostawa.",
        "Rechtsschutzversicherung: bitte um Rückruf wegen Angstschweiß-Beschichtungsverfahren.",
        "Our kubectl and nginx setup on PostgreSQL needs help with CrashLoopBackOff, see ticket QXZ-88731.",
        "Sgwennwch ataf os gwelwch yn dda, dwi eisiau prynu'r gwrtheyrnion yng Nghwmystwyth.",
    ];

    #[test]
    fn no_name_and_no_sentence_of_any_language_is_gibberish() {
        for name in PEOPLE {
            assert!(!is_gibberish_name(name), "{name}");
        }
        for text in MESSAGES {
            assert!(!is_gibberish_text(text) && !is_repeated(text), "{text}");
        }
    }

    #[test]
    fn what_fingers_and_programs_mash_is_gibberish() {
        for name in ["roqWxYzTbNmKlP", "xkjhrtqplzwn QZXJVWKP", "hgjfkdlsa", "sdfsdfsdf"] {
            assert!(is_gibberish_name(name), "{name}");
        }
        for text in
            ["hgjfkdlsa sdfsdfsdf", "jkhkjhkjh", "XkjhRtQpLzWn qzxjvwkp bvcnxmzlk and", "asdfghjkl"]
        {
            assert!(is_gibberish_text(text), "{text}");
        }
    }

    #[test]
    fn one_letter_or_word_over_and_over_is_no_message() {
        for text in [
            "aaaaaaaaaaaaaaa",
            "test test test test test test",
            "hahahahahahahahaha",
            "১১১১১১১১১১১১১১১১",
        ] {
            assert!(is_repeated(text), "{text}");
        }
        for text in ["", "ok", "no no no", "aaa", "Mississippi", "---------------------", "1000000"]
        {
            assert!(!is_repeated(text), "{text}");
        }
    }

    #[test]
    fn links_are_counted_once_each() {
        assert_eq!(links("see https://www.shop.example/a, www.b.example and HTTP://c.example"), 3);
        assert_eq!(links("no links: jane@www.example.com, awww.cute"), 0);
        assert!(has_link_markup("<A HREF='x'>") && has_link_markup("[url=x]y[/url]"));
        assert!(!has_link_markup("a < b and [urgent]"), "[ur is no markup");
        assert!(has_link("Win at www.x.example") && !has_link("Wwwilliam"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,300}") {
            let _ = (is_gibberish_name(&text), is_gibberish_text(&text), is_repeated(&text), links(&text));
        }

        #[test]
        fn a_word_outside_ascii_is_never_judged(word in "[\u{0900}-\u{0DFF}\u{0600}-\u{06FF}]{1,40}") {
            prop_assert_eq!(is_gibberish_word(&word), None);
        }
    }
}
