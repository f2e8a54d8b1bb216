//! Names as they are compared.
//!
//! In: the name of a field, as a page's author wrote it. Out: what is left of it without case, accents, blanks and punctuation; its parts.
//! Promises: two spellings of one name are one, in any script; vowel signs of Bengali stay, for they are letters there.

use icu_normalizer::DecomposingNormalizerBorrowed;

/// The name without what people spell in different ways.
pub fn folded(name: &str) -> String {
    if name.is_ascii() {
        return name
            .bytes()
            .filter(u8::is_ascii_alphanumeric)
            .map(|byte| char::from(byte.to_ascii_lowercase()))
            .collect();
    }
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize(name);
    let mut plain = String::with_capacity(name.len());
    for letter in decomposed.chars().flat_map(char::to_lowercase) {
        match letter {
            'ß' => plain.push_str("ss"),
            'ł' => plain.push('l'),
            'ø' => plain.push('o'),
            'đ' => plain.push('d'),
            'ı' => plain.push('i'),
            'æ' => plain.push_str("ae"),
            'œ' => plain.push_str("oe"),
            // Arabic and Urdu keyboards write the same letter in two ways.
            'ي' | 'ى' => plain.push('ی'),
            'ك' => plain.push('ک'),
            'ه' | 'ۀ' => plain.push('ہ'),
            // Accents of Latin, Greek and Cyrillic, and the vowel marks of Arabic.
            '\u{300}'..='\u{36f}' | '\u{64b}'..='\u{655}' | '\u{670}' => {}
            '\u{980}'..='\u{9ff}' => plain.push(letter),
            letter if letter.is_alphanumeric() => plain.push(letter),
            _ => {}
        }
    }
    plain
}

/// The parts of `a[b][]`, `a.b` and `a/b`, without those that only count.
pub fn parts(name: &str) -> impl DoubleEndedIterator<Item = &str> {
    name.split(['[', ']', '.', '/', ':', '>'])
        .map(str::trim)
        .filter(|part| !part.is_empty() && !part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_one() {
        for (one, other) in [
            ("E-Mail", "e_mail"),
            ("Téléphone", "telephone"),
            ("Straße", "strasse"),
            ("IMIĘ", "imie"),
            ("województwo", "Wojewodztwo"),
            ("Łódź", "lodz"),
            ("ই-মেইল", "ইমেইল"),
            ("ای\u{200c}ميل", "ایمیل"),
            ("ｅｍａｉｌ", "email"),
            ("e\u{301}tat", "état"),
        ] {
            assert_eq!(folded(one), folded(other), "{one}");
        }
        assert_ne!(folded("নাম"), folded("নম"));
        assert_eq!(folded("_-. "), "");
    }

    #[test]
    fn parts_are_what_brackets_and_dots_hold() {
        let of = |name| parts(name).collect::<Vec<_>>();
        assert_eq!(of("mauticform[f_name]"), ["mauticform", "f_name"]);
        assert_eq!(of("contacts[0][email][]"), ["contacts", "email"]);
        assert_eq!(of("Contacts.Last Name"), ["Contacts", "Last Name"]);
        assert_eq!(of("0-2/which_group"), ["0-2", "which_group"]);
        assert_eq!(of("[]"), [""; 0]);
    }
}
