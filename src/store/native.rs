//! ClickHouse's `Native` format: rows become one block, column by column.
//!
//! In: a slice of rows of one table. Out: the bytes of one block. Refuses: nothing. Promises: one block for each call, so that
//! an insert is one block for each table partition (DESIGN.md, "Borders first"). Chosen because the server spends a fifth of the
//! time on it that it spends on the client crate's RowBinary (DATA_MODEL.md, "Insert and merge"); the crate still carries it.
//!
//! The layout is the server's `NativeWriter` without block info: varint columns, varint rows, then for each column its name,
//! its type and its values. The server converts a column to the table's type where they differ, so a
//! `LowCardinality(String)` is sent as `String` and an `Enum8` as `Int8`.

/// A value of one column type.
pub trait Column: Sized {
    /// The type's name in ClickHouse.
    const TYPE: &'static str;

    /// Appends this value; columns of plain values are no more than these one after the other.
    fn write(&self, out: &mut Vec<u8>);

    /// Appends a whole column. Nested types override it.
    fn write_column<'a>(values: impl Iterator<Item = &'a Self> + Clone, out: &mut Vec<u8>)
    where
        Self: 'a,
    {
        for value in values {
            value.write(out);
        }
    }
}

/// Implements [`Column`] for numbers that are stored little-endian.
macro_rules! number_columns {
    ($($kind:ty => $name:literal),* $(,)?) => {$(
        impl Column for $kind {
            const TYPE: &'static str = $name;
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

number_columns! {
    u8 => "UInt8", u16 => "UInt16", u32 => "UInt32", u64 => "UInt64", u128 => "UInt128", i8 => "Int8", i64 => "Int64",
}

impl Column for String {
    const TYPE: &'static str = "String";
    fn write(&self, out: &mut Vec<u8>) {
        write_string(self.as_bytes(), out);
    }
}

impl Column for Vec<u8> {
    const TYPE: &'static str = "String";
    fn write(&self, out: &mut Vec<u8>) {
        write_string(self, out);
    }
}

impl Column for &'static str {
    const TYPE: &'static str = "String";
    fn write(&self, out: &mut Vec<u8>) {
        write_string(self.as_bytes(), out);
    }
}

/// A point in time, milliseconds since 1970 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Millis(pub i64);

impl Column for Millis {
    const TYPE: &'static str = "DateTime64(3, 'UTC')";
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }
}

/// A point in time in whole seconds since 1970 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seconds(pub u32);

impl Column for Seconds {
    const TYPE: &'static str = "DateTime('UTC')";
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }
}

impl Column for crate::money::Amount {
    const TYPE: &'static str = "Decimal(18, 4)";
    fn write(&self, out: &mut Vec<u8>) {
        self.scaled().write(out);
    }
}

/// A keyed hash of 128 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key16(pub [u8; 16]);

impl Column for Key16 {
    const TYPE: &'static str = "FixedString(16)";
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

/// An address as IPv6, IPv4 mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address(pub [u8; 16]);

impl Column for Address {
    const TYPE: &'static str = "IPv6";
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

/// An event's id as ClickHouse's `UUID`: two little-endian halves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uuid(pub u128);

impl Column for Uuid {
    const TYPE: &'static str = "UUID";
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&((self.0 >> 64) as u64).to_le_bytes());
        out.extend_from_slice(&(self.0 as u64).to_le_bytes());
    }
}

/// A list of texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts(pub Vec<String>);

impl Column for Texts {
    const TYPE: &'static str = "Array(String)";
    fn write(&self, _: &mut Vec<u8>) {
        unreachable!("a list is written by column: ends first, then all items");
    }
    fn write_column<'a>(values: impl Iterator<Item = &'a Self> + Clone, out: &mut Vec<u8>) {
        write_ends(values.clone().map(|texts| texts.0.len()), out);
        for text in values.flat_map(|texts| &texts.0) {
            text.write(out);
        }
    }
}

/// A list of amounts, or of quantities of the same scale.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts(pub Vec<crate::money::Amount>);

impl Column for Amounts {
    const TYPE: &'static str = "Array(Decimal(18, 4))";
    fn write(&self, _: &mut Vec<u8>) {
        unreachable!("a list is written by column: ends first, then all items");
    }
    fn write_column<'a>(values: impl Iterator<Item = &'a Self> + Clone, out: &mut Vec<u8>) {
        write_ends(values.clone().map(|amounts| amounts.0.len()), out);
        for amount in values.flat_map(|amounts| &amounts.0) {
            amount.write(out);
        }
    }
}

/// Names and values, in order, repeats included: ClickHouse's `Map` keeps both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(pub Vec<(String, String)>);

impl Column for Pairs {
    const TYPE: &'static str = "Map(String, String)";
    fn write(&self, _: &mut Vec<u8>) {
        unreachable!("a map is written by column: ends first, then all names, then all values");
    }
    fn write_column<'a>(values: impl Iterator<Item = &'a Self> + Clone, out: &mut Vec<u8>) {
        write_ends(values.clone().map(|pairs| pairs.0.len()), out);
        for (name, _) in values.clone().flat_map(|pairs| &pairs.0) {
            name.write(out);
        }
        for (_, value) in values.flat_map(|pairs| &pairs.0) {
            value.write(out);
        }
    }
}

fn write_ends(lengths: impl Iterator<Item = usize>, out: &mut Vec<u8>) {
    let mut end = 0u64;
    for length in lengths {
        end += length as u64;
        out.extend_from_slice(&end.to_le_bytes());
    }
}

/// Appends a length and the bytes.
pub fn write_string(bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends a number in groups of seven bits.
pub fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A row of one table.
pub trait Row: Sized {
    /// The table's name.
    const TABLE: &'static str;

    /// The columns, in order, for the `INSERT` statement.
    const COLUMNS: &'static [&'static str];

    /// Where the row's record stood in the log.
    fn log_offset(&self) -> u64;

    /// One block with these rows.
    fn block<'a>(rows: impl ExactSizeIterator<Item = &'a Self> + Clone) -> Vec<u8>
    where
        Self: 'a;
}

/// Declares a row type: its fields are the table's columns, in the order of the `INSERT`.
#[macro_export]
macro_rules! row {
    ($(#[$documentation:meta])* $name:ident in $table:literal at $offset:ident {
        $($column:ident: $kind:ty),* $(,)?
    }) => {
        $(#[$documentation])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $(#[doc = "See deploy/schema."] pub $column: $kind),* }

        impl $crate::store::native::Row for $name {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [&'static str] = &[$(stringify!($column)),*];

            fn log_offset(&self) -> u64 {
                self.$offset
            }

            fn block<'a>(rows: impl ExactSizeIterator<Item = &'a Self> + Clone) -> Vec<u8> {
                use $crate::store::native::{Column, write_string, write_varint};
                let mut out = Vec::with_capacity(rows.len() * 512);
                write_varint(Self::COLUMNS.len() as u64, &mut out);
                write_varint(rows.len() as u64, &mut out);
                $(
                    write_string(stringify!($column).as_bytes(), &mut out);
                    write_string(<$kind as Column>::TYPE.as_bytes(), &mut out);
                    <$kind as Column>::write_column(rows.clone().map(|row| &row.$column), &mut out);
                )*
                out
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    row! {
        /// A row for the test.
        Sample in "sample" at log_offset { log_offset: u64, name: String, tags: Texts, map: Pairs }
    }

    #[test]
    fn a_block_is_laid_out_as_the_server_reads_it() {
        let rows = [
            Sample {
                log_offset: 1,
                name: "a".into(),
                tags: Texts(vec!["x".into()]),
                map: Pairs::default(),
            },
            Sample {
                log_offset: 2,
                name: "".into(),
                tags: Texts(vec![]),
                map: Pairs(vec![("k".into(), "v".into())]),
            },
        ];
        let block = Sample::block(rows.iter());
        let mut expected = vec![4, 2];
        expected.extend_from_slice(b"\x0alog_offset\x06UInt64\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0");
        expected.extend_from_slice(b"\x04name\x06String\x01a\x00");
        expected.extend_from_slice(
            b"\x04tags\x0dArray(String)\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01x",
        );
        expected.extend_from_slice(
            b"\x03map\x13Map(String, String)\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01k\x01v",
        );
        assert_eq!(block, expected);
    }
}
