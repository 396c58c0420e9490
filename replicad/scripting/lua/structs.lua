-- The library `struct`: packed binary data described by a format.
--
-- Integers travel as two words of 32 bits, because a Lua number holds only 53 bits exactly and the C library works on 64.

local shared, floats = ...
local fail, argument_error, export, to_int64 = shared.fail, shared.argument_error, shared.export, shared.to_int64
local text_argument, number_argument, optional_integer = shared.text, shared.number, shared.optional_integer
local byte, char, find, format, rep = string.byte, string.char, string.find, string.format, string.rep
local reverse, sub, concat, floor, select, type = string.reverse, string.sub, table.concat, math.floor, select, type
local tonumber, unpack = tonumber, unpack

local GREATEST_INTEGER, MOST_BYTES, DEFAULT_ALIGNMENT = 2^31 - 1, 32, 8
local SIZES = { b = 1, B = 1, h = 2, H = 2, l = 8, L = 8, T = 8, f = 4, d = 8, x = 1 }
local UNSIGNED = { B = true, H = true, L = true, T = true, I = true }
local INTEGERS = { b = true, B = true, h = true, H = true, l = true, L = true, T = true, i = true, I = true }
local MOST_RESULTS = 7990

-- Each iteration: the option, its size, the position behind it. The format ends at a zero byte, as in C.
local function read_number(layout, at, default)
  local _, stop = find(layout, "^%d+", at)
  if not stop then return default, at end
  local number = 0
  for index = at, stop do
    number = number * 10 + byte(layout, index) - 48
    if number > GREATEST_INTEGER then fail("integral size overflow") end
  end
  return number, stop + 1
end

local function read_option(layout, at)
  local option, size = sub(layout, at, at), nil
  at = at + 1
  if option == "c" then
    size, at = read_number(layout, at, 1)
  elseif option == "i" or option == "I" then
    size, at = read_number(layout, at, 4)
    if size > MOST_BYTES then
      fail(format("integral size %d is larger than limit of %d", size, MOST_BYTES))
    end
  else
    size = SIZES[option] or 0
  end
  return option, size, at
end

-- Byte order and alignment; anything that is no option at all ends here. Returns the position behind it.
local function control(state, option, layout, at)
  if option == ">" then
    state.big = true
  elseif option == "<" then
    state.big = false
  elseif option == "!" then
    local alignment
    alignment, at = read_number(layout, at, DEFAULT_ALIGNMENT)
    local power = 1
    while power < alignment do power = power * 2 end
    if power ~= alignment then fail(format("alignment %d is not a power of 2", alignment)) end
    state.alignment = alignment
  elseif option ~= " " then
    argument_error(1, "invalid format option '" .. option .. "'")
  end
  return at
end

-- AND of two small numbers: sizes need not be powers of two, and the C library masks with size - 1 all the same.
local function masked(a, b)
  local result, weight = 0, 1
  while a > 0 and b > 0 do
    if a % 2 == 1 and b % 2 == 1 then result = result + weight end
    a, b, weight = floor(a / 2), floor(b / 2), weight * 2
  end
  return result
end

local function padding(state, length, option, size)
  if size == 0 or option == "c" or state.alignment == 1 or size == 1 then return 0 end
  if size > state.alignment then size = state.alignment end
  local mask = size - 1
  return masked((size - masked(length % 64, mask)) % 64, mask)
end

-- The two words of a number as C casts it: from below zero through a signed, else through an unsigned integer.
local function words(number)
  local integer
  if number < 0 or number ~= number then
    integer = to_int64(number)
  elseif number >= 2^64 then
    integer = 0
  else
    integer = floor(number)
  end
  return floor(integer / 2^32) % 2^32, integer % 2^32
end

local function word_bytes(word)
  return char(word % 256, floor(word / 2^8) % 256, floor(word / 2^16) % 256, floor(word / 2^24))
end

local function put_integer(number, size)
  local high, low = words(number)
  local little = word_bytes(low) .. word_bytes(high)
  return size <= 8 and sub(little, 1, size) or little .. rep("\0", size - 8)
end

-- `at` is the position of the first of `size` bytes.
local function get_integer(data, at, size, big, unsigned)
  local high, low = 0, 0
  local used = size < 8 and size or 8
  for index = used - 1, 0, -1 do
    local value = byte(data, big and at + size - 1 - index or at + index)
    if index >= 4 then high = high * 256 + value else low = low * 256 + value end
  end
  if unsigned then return high * 2^32 + low end
  -- The distance of a shift counts modulo 64, which matters for more than eight bytes.
  local sign = (size * 8 - 1) % 64
  if sign >= 32 then
    if high >= 2^(sign - 32) then high = high % 2^(sign - 32) - 2^(sign - 32) end
  elseif high > 0 or low >= 2^sign then
    high, low = -1, low % 2^sign + 2^32 - 2^sign
  end
  return high * 2^32 + low
end

local function put_float(option, number)
  if option == "f" then return word_bytes(floats.to_single(number)) end
  local high, low = floats.to_double(number)
  return word_bytes(low) .. word_bytes(high)
end

local function get_float(option, data, at, size, big)
  local bytes = sub(data, at, at + size - 1)
  if big then bytes = reverse(bytes) end
  local low = get_integer(bytes, 1, 4, false, true)
  if option == "f" then return floats.from_single(low) end
  return floats.from_double(get_integer(bytes, 5, 4, false, true), low)
end

local function layout_argument(...)
  local layout = text_argument(1, select("#", ...), (...))
  local stop = find(layout, "%z")
  return stop and sub(layout, 1, stop - 1) or layout
end

local struct = {}

function struct.pack(...)
  local layout = layout_argument(...)
  local state = { big = false, alignment = 1 }
  local out, count, total, argument, at = {}, 0, 0, 2, 1
  while at <= #layout do
    local option, size
    option, size, at = read_option(layout, at)
    local pad = padding(state, total, option, size)
    local piece
    -- Missing arguments are nil, not "no value": there is something behind them on the stack.
    local value = argument <= select("#", ...) and select(argument, ...) or nil
    if INTEGERS[option] then
      piece = put_integer(number_argument(argument, argument, value), size)
      if state.big then piece = reverse(piece) end
      argument = argument + 1
    elseif option == "f" or option == "d" then
      piece = put_float(option, number_argument(argument, argument, value))
      if state.big then piece = reverse(piece) end
      argument = argument + 1
    elseif option == "s" or option == "c" then
      piece = text_argument(argument, argument, value)
      argument = argument + 1
      if option == "s" then
        piece = piece .. "\0"
      else
        if size == 0 then size = #piece end
        if #piece < size then argument_error(argument, "string too short") end
        piece = sub(piece, 1, size)
      end
    elseif option == "x" then
      piece = "\0"
    else
      at = control(state, option, layout, at)
      piece = ""
    end
    if pad > 0 then piece = rep("\0", pad) .. piece end
    count = count + 1
    out[count] = piece
    total = total + #piece
  end
  return concat(out)
end

local function too_short() argument_error(2, "data string too short") end

function struct.unpack(...)
  local given = select("#", ...)
  local layout = layout_argument(...)
  local _, data, start = ...
  data = text_argument(2, given, data)
  local position = optional_integer(3, given, start, 1) - 1
  if position == -1 then argument_error(3, "offset must be 1 or greater") end
  local state = { big = false, alignment = 1 }
  local results, count, at = {}, 0, 1
  while at <= #layout do
    local option, size
    option, size, at = read_option(layout, at)
    position = position + padding(state, position, option, size)
    if position < 0 or position + size > #data then too_short() end
    if count >= MOST_RESULTS then fail("stack overflow (too many results)") end
    local value
    if INTEGERS[option] then
      value = get_integer(data, position + 1, size, state.big, UNSIGNED[option])
    elseif option == "f" or option == "d" then
      value = get_float(option, data, position + 1, size, state.big)
    elseif option == "c" then
      if size == 0 then
        size = tonumber(results[count])
        if not size then fail("format 'c0' needs a previous size") end
        count, size = count - 1, size >= 2^64 and 0 or to_int64(size)
        if size < 0 or position + size > #data then too_short() end
      end
      value = sub(data, position + 1, position + size)
    elseif option == "s" then
      local stop = find(data, "%z", position + 1)
      if not stop then fail("unfinished string in data") end
      value, size = sub(data, position + 1, stop - 1), stop - position
    elseif option ~= "x" then
      at = control(state, option, layout, at)
    end
    if value ~= nil then
      count = count + 1
      results[count] = value
    end
    position = position + size
  end
  results[count + 1] = position + 1
  return unpack(results, 1, count + 1)
end

function struct.size(...)
  local layout = layout_argument(...)
  local state = { big = false, alignment = 1 }
  local total, at = 0, 1
  while at <= #layout do
    local option, size
    option, size, at = read_option(layout, at)
    total = total + padding(state, total, option, size)
    if option == "s" then
      argument_error(1, "option 's' has no fixed size")
    elseif option == "c" and size == 0 then
      argument_error(1, "option 'c0' has no fixed size")
    end
    if not find(option, "^%w") then at = control(state, option, layout, at) end
    total = total + size
  end
  return total
end

return export(struct)
