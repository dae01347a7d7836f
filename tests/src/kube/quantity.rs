//! Kubernetes quantities: `500m`, `1.5Gi`, `2e3`.

use std::fmt;

/// The suffix family that a quantity keeps when it is written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Binary,
    Decimal,
    Exponent,
}

/// An amount, exact to a billionth.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    /// In units of 10^-9.
    nano: i128,
    format: Format,
}

const NANO: i128 = 1_000_000_000;
const BINARY: [(&str, u32); 7] = [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10), ("", 0)];
const DECIMAL: [(&str, i32); 10] =
    [("E", 18), ("P", 15), ("T", 12), ("G", 9), ("M", 6), ("k", 3), ("", 0), ("m", -3), ("u", -6), ("n", -9)];

impl Quantity {
    /// Reads a quantity; none if it is not one.
    pub fn parse(text: &str) -> Option<Quantity> {
        let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-')).unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (numerator, format) = if let Some((_, bits)) = BINARY.iter().find(|(s, _)| *s == suffix && !s.is_empty()) {
            (1_i128 << bits, Format::Binary)
        } else if let Some((_, power)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
            return Some(Quantity { nano: scaled(number, *power)?, format: Format::Decimal });
        } else {
            let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            return Some(Quantity { nano: scaled(number, power)?, format: Format::Exponent });
        };
        Some(Quantity { nano: scaled(number, 0)?.checked_mul(numerator)?, format })
    }

    /// The value, rounded up to a whole.
    pub fn whole(&self) -> i128 {
        self.nano.div_euclid(NANO) + i128::from(self.nano.rem_euclid(NANO) > 0)
    }

    /// The value in thousandths, rounded up.
    pub fn milli(&self) -> i128 {
        let unit = NANO / 1000;
        self.nano.div_euclid(unit) + i128::from(self.nano.rem_euclid(unit) > 0)
    }

    /// The canonical form of a text, if it is a quantity.
    pub fn canonical(text: &str) -> Option<String> {
        Quantity::parse(text).map(|quantity| quantity.to_string())
    }
}

/// `number` x 10^power in billionths, rounded away from zero.
fn scaled(number: &str, power: i32) -> Option<i128> {
    let (negative, digits) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mantissa: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let shift = 9 + power - i32::try_from(fraction.len()).ok()?;
    let nano = if shift >= 0 {
        mantissa.checked_mul(10_i128.checked_pow(u32::try_from(shift).ok()?)?)?
    } else {
        let unit = 10_i128.checked_pow(shift.unsigned_abs())?;
        mantissa.div_euclid(unit) + i128::from(mantissa.rem_euclid(unit) > 0)
    };
    Some(if negative { -nano } else { nano })
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return f.write_str("0");
        }
        // Binary forms hold no fractions, and small ones are written as decimals.
        if self.format == Format::Binary && self.nano % NANO == 0 && self.nano.abs() >= 1024 * NANO {
            let whole = self.nano / NANO;
            for (suffix, bits) in BINARY {
                if whole % (1_i128 << bits) == 0 {
                    return write!(f, "{}{suffix}", whole >> bits);
                }
            }
        }
        for (suffix, power) in DECIMAL {
            let unit = 10_i128.pow(u32::try_from(power + 9).unwrap_or(0));
            if self.nano % unit == 0 {
                return match (self.format, power) {
                    (_, 0) => write!(f, "{}", self.nano / unit),
                    (Format::Exponent, _) => write!(f, "{}e{power}", self.nano / unit),
                    (Format::Binary | Format::Decimal, _) => write!(f, "{}{suffix}", self.nano / unit),
                };
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Quantity;

    #[test]
    fn writes_the_canonical_form() {
        for (text, canonical) in [
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1500", "1500"),
            ("2000", "2k"),
            ("0", "0"),
            ("1e3", "1e3"),
            ("100", "100"),
            ("512", "512"),
            ("0.5Ki", "512"),
            ("-1.5", "-1500m"),
        ] {
            assert_eq!(Quantity::canonical(text).as_deref(), Some(canonical), "{text}");
        }
        assert!(Quantity::parse("ten").is_none());
        assert!(Quantity::parse("").is_none());
    }
}
