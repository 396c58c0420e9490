-- The library `bit`: operations on 32-bit integers.
--
-- Lua 5.1 has no such operators. AND is done six bits at a time with a table of 64 times 64 results; OR and XOR follow
-- from it by arithmetic: a + b = (a xor b) + 2 * (a and b).

local shared = ...
local floor, frexp, huge, format, sub, upper = math.floor, math.frexp, math.huge, string.format, string.sub, string.upper
local select, type, number_argument = select, type, shared.number

local AND = {}
for a = 0, 63 do
  for b = 0, 63 do
    local result, weight, x, y = 0, 1, a, b
    while x > 0 and y > 0 do
      if x % 2 == 1 and y % 2 == 1 then result = result + weight end
      x, y, weight = floor(x / 2), floor(y / 2), weight * 2
    end
    AND[a * 64 + b] = result
  end
end

local MAGIC = 2^52 + 2^51

-- A number as the integer from 0 to 2^32 - 1 with its low 32 bits: rounded to the nearest, halves to the even one.
-- Adding the magic number puts them into the low word of the double; what lies in that word for numbers beyond 2^51 is
-- of no use to anybody, but it is the same everywhere.
local function word(number)
  local sum = number + MAGIC
  if sum >= 2^52 and sum < 2^53 then return sum % 2^32 end
  if sum < 0 then sum = -sum end
  if sum ~= sum or sum == huge or sum == 0 then return 0 end
  return frexp(sum) * 2^53 % 2^32
end

local function signed(bits)
  return bits >= 2^31 and bits - 2^32 or bits
end

local function argument(index, ...)
  local value = select(index, ...)
  if type(value) ~= "number" then value = number_argument(index, select("#", ...), value) end
  return word(value)
end

local function both(a, b)
  local result, weight = 0, 1
  while a > 0 and b > 0 do
    local low_a, low_b = a % 64, b % 64
    result = result + AND[low_a * 64 + low_b] * weight
    a, b, weight = (a - low_a) / 64, (b - low_b) / 64, weight * 64
  end
  return result
end

local function either(a, b) return a + b - both(a, b) end

local function one_of(a, b) return a + b - 2 * both(a, b) end

local function fold(operation)
  return function(...)
    local result = argument(1, ...)
    for index = 2, select("#", ...) do
      result = operation(result, argument(index, ...))
    end
    return signed(result)
  end
end

local function shift_left(bits, count) return bits * 2^count % 2^32 end

local function shift_right(bits, count) return floor(bits / 2^count) end

local function shift_right_signed(bits, count) return floor(signed(bits) / 2^count) % 2^32 end

local function rotate_left(bits, count) return shift_left(bits, count) + shift_right(bits, 32 - count) end

local function rotate_right(bits, count) return rotate_left(bits, (32 - count) % 32) end

-- Only the low five bits of a distance count.
local function shifter(operation)
  return function(...)
    local bits = argument(1, ...)
    return signed(operation(bits, argument(2, ...) % 32))
  end
end

local bit = {}

function bit.tobit(...) return signed((argument(1, ...))) end

function bit.bnot(...) return signed(2^32 - 1 - argument(1, ...)) end

function bit.bswap(...)
  local bits = argument(1, ...)
  local a, b, c, d = bits % 2^8, floor(bits / 2^8) % 2^8, floor(bits / 2^16) % 2^8, floor(bits / 2^24)
  return signed(a * 2^24 + b * 2^16 + c * 2^8 + d)
end

function bit.tohex(...)
  local bits = argument(1, ...)
  local digits = 8
  if select("#", ...) > 1 then digits = signed(argument(2, ...)) end
  local text = format("%08x", bits)
  if digits < 0 then
    digits, text = -digits, upper(text)
  end
  return digits < 8 and sub(text, 9 - digits) or text
end

bit.band, bit.bor, bit.bxor = fold(both), fold(either), fold(one_of)
bit.lshift, bit.rshift, bit.arshift = shifter(shift_left), shifter(shift_right), shifter(shift_right_signed)
bit.rol, bit.ror = shifter(rotate_left), shifter(rotate_right)

return shared.export(bit)
