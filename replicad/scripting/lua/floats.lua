-- IEEE 754 numbers as 32-bit words and back: doubles are two words, high and low, singles one.

local floor, frexp, ldexp, huge, format = math.floor, math.frexp, math.ldexp, math.huge, string.format

local floats = {}

-- Which sign 0/0 has depends on the processor.
local positive_nan, negative_nan = 0/0, -(0/0)
if format("%g", positive_nan) == "-nan" then positive_nan, negative_nan = negative_nan, positive_nan end

local function is_negative(number)
  if number ~= number then return format("%g", number) == "-nan" end
  return number < 0 or (number == 0 and 1 / number < 0)
end

function floats.to_double(number)
  local sign = 0
  if is_negative(number) then
    sign, number = 2^31, -number
  end
  if number ~= number then return sign + 0x7FF80000, 0 end
  if number == huge then return sign + 0x7FF00000, 0 end
  if number == 0 then return sign, 0 end
  local mantissa, exponent = frexp(number)
  local fraction
  if exponent < -1021 then
    fraction, exponent = ldexp(number, 1074), 0
  else
    fraction, exponent = (mantissa * 2 - 1) * 2^52, exponent + 1022
  end
  return sign + exponent * 2^20 + floor(fraction / 2^32), fraction % 2^32
end

-- Rounded to the nearest single, halves to the even one; too large is infinite.
function floats.to_single(number)
  local sign = 0
  if is_negative(number) then
    sign, number = 2^31, -number
  end
  if number ~= number then return sign + 0x7FC00000 end
  if number == 0 then return sign end
  local mantissa, exponent = frexp(number)
  if number == huge or exponent > 128 then return sign + 0x7F800000 end
  local scaled, base
  if exponent < -125 then
    scaled, base = ldexp(number, 149), 0
  else
    scaled, base = mantissa * 2^24, (exponent + 125) * 2^23
  end
  local rounded = floor(scaled)
  local rest = scaled - rounded
  if rest > 0.5 or (rest == 0.5 and rounded % 2 == 1) then rounded = rounded + 1 end
  return sign + base + rounded
end

function floats.fits_single(number)
  if number ~= number then return false end
  if number < 0 then number = -number end
  if number == 0 or number == huge then return true end
  local mantissa, exponent = frexp(number)
  if exponent > 128 then return false end
  local scaled = exponent < -125 and ldexp(number, 149) or mantissa * 2^24
  return scaled == floor(scaled)
end

-- `exponent` as stored, `fraction` of `bits` bits, `least` the exponent of the smallest numbers.
local function assemble(negative, exponent, greatest, fraction, bits, least)
  local number
  if exponent == greatest then
    if fraction ~= 0 then return negative and negative_nan or positive_nan end
    number = huge
  elseif exponent == 0 then
    number = ldexp(fraction, least)
  else
    number = ldexp(fraction + 2^bits, exponent - 1 + least)
  end
  return negative and -number or number
end

function floats.from_double(high, low)
  local negative = high >= 2^31
  if negative then high = high - 2^31 end
  local exponent = floor(high / 2^20)
  return assemble(negative, exponent, 2047, (high % 2^20) * 2^32 + low, 52, -1074)
end

function floats.from_single(word)
  local negative = word >= 2^31
  if negative then word = word - 2^31 end
  return assemble(negative, floor(word / 2^23), 255, word % 2^23, 23, -149)
end

return floats
