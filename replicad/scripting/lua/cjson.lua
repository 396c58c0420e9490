-- The library `cjson`: Lua values as JSON text and back.
--
-- What differs from other JSON libraries and is kept: numbers with 14 digits, "/" and DEL escaped, bytes above 127 passed
-- through unseen, an empty table is {}, a table with positive integer keys is an array with null in its holes unless
-- it is too sparse, NaN, infinity and hexadecimal numbers can be read. Settings belong to one instance; `new` makes another.

local shared = ...
local fail, argument_error, export, to_int32 = shared.fail, shared.argument_error, shared.export, shared.to_int32
local text_argument, number_argument = shared.text, shared.number
local byte, char, find, format, gsub, sub = string.byte, string.char, string.find, string.format, string.gsub, string.sub
local lower, concat, floor, huge = string.lower, table.concat, math.floor, math.huge
local next, rawget, select, tonumber, type = next, rawget, select, tonumber, type

-- How deep the stack of the C library goes, whatever limit was set.
local DEEPEST = 7997

-- A userdata that no script can make, read or change; it prints like a null pointer.
local null = newproxy(true)
local null_metatable = getmetatable(null)
null_metatable.__tostring = function() return "userdata: (nil)" end
null_metatable.__metatable = false

local ESCAPED = '[%z\1-\31\127"\\/]'
local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["/"] = "\\/", ["\b"] = "\\b", ["\t"] = "\\t", ["\n"] = "\\n",
  ["\f"] = "\\f", ["\r"] = "\\r" }
for code = 0, 127 do
  local one = char(code)
  if find(one, ESCAPED) and not ESCAPES[one] then ESCAPES[one] = format("\\u%04x", code) end
end

local function quoted(text)
  return '"' .. gsub(text, ESCAPED, ESCAPES) .. '"'
end

local function refuse(value, reason)
  fail("Cannot serialise " .. type(value) .. ": " .. reason)
end

-- The greatest index when all keys are positive integers, a number below 1 for any other table.
local function array_length(config, value)
  local greatest, count = 0, 0
  for key in next, value do
    if type(key) ~= "number" or key <= 0 or floor(key) ~= key then return -1 end
    -- The C library holds it in an int.
    if key > greatest then greatest = key < 2^31 and key or -2^31 end
    count = count + 1
  end
  if config.ratio > 0 and greatest > count * config.ratio and greatest > config.safe then
    if not config.convert then refuse(value, "excessively sparse array") end
    return -1
  end
  return greatest
end

local encode_value

local function encode_number(config, number)
  if number ~= number or number == huge or number == -huge then
    if config.encode_invalid == "null" then return "null" end
    if not config.encode_invalid then refuse(number, "must not be NaN or Inf") end
    return number ~= number and "nan" or number > 0 and "inf" or "-inf"
  end
  return format(config.number_format, number)
end

local function encode_array(config, out, count, value, length, depth)
  out[count + 1] = "["
  count = count + 1
  local index = 1
  while index <= length do
    local item = rawget(value, index)
    if item == nil then
      out[count + 1] = "null"
      count = count + 1
    else
      count = encode_value(config, out, count, item, depth)
    end
    index = index + 1
    if index <= length then
      out[count + 1] = ","
      count = count + 1
    end
  end
  out[count + 1] = "]"
  return count + 1
end

local function encode_object(config, out, count, value, depth)
  local before = "{"
  for key, item in next, value do
    local name
    if type(key) == "string" then
      name = quoted(key)
    elseif type(key) == "number" then
      name = '"' .. encode_number(config, key) .. '"'
    else
      refuse(key, "table key must be a number or string")
    end
    out[count + 1] = before
    out[count + 2] = name
    out[count + 3] = ":"
    count = encode_value(config, out, count + 3, item, depth)
    before = ","
  end
  out[count + 1] = before == "{" and "{}" or "}"
  return count + 1
end

-- Appends the text of `value` to the pieces in `out`, of which there are `count`; returns the new count.
function encode_value(config, out, count, value, depth)
  local kind = type(value)
  if kind == "string" then
    out[count + 1] = quoted(value)
  elseif kind == "number" then
    out[count + 1] = encode_number(config, value)
  elseif kind == "table" then
    depth = depth + 1
    if depth > config.encode_depth or depth > DEEPEST then
      fail(format("Cannot serialise, excessive nesting (%d)", depth))
    end
    local length = array_length(config, value)
    -- Not in one expression: a tail call would lose the place of the error.
    if length > 0 then
      count = encode_array(config, out, count, value, length, depth)
    else
      count = encode_object(config, out, count, value, depth)
    end
    return count
  elseif kind == "boolean" then
    out[count + 1] = value and "true" or "false"
  elseif value == nil or value == null then
    out[count + 1] = "null"
  else
    refuse(value, "type not supported")
  end
  return count + 1
end

-- Reading. A token is its kind, its value (the text of the error for T_ERROR), the position behind it and its own.

local PUNCTUATION = { [91] = "T_ARR_BEGIN", [93] = "T_ARR_END", [123] = "T_OBJ_BEGIN", [125] = "T_OBJ_END",
  [58] = "T_COLON", [44] = "T_COMMA" }
local UNESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

local function utf8(code)
  if code < 0x80 then return char(code) end
  if code < 0x800 then return char(0xC0 + floor(code / 0x40), 0x80 + code % 0x40) end
  if code < 0x10000 then
    return char(0xE0 + floor(code / 0x1000), 0x80 + floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
  end
  return char(0xF0 + floor(code / 0x40000), 0x80 + floor(code / 0x1000) % 0x40, 0x80 + floor(code / 0x40) % 0x40,
    0x80 + code % 0x40)
end

-- The character of the \u escape at `at` and the position behind it; nothing when it is none.
local function unicode_escape(text, at)
  if not find(text, "^%x%x%x%x", at + 2) then return nil end
  local code = tonumber(sub(text, at + 2, at + 5), 16)
  if code < 0xD800 or code > 0xDFFF then return utf8(code), at + 6 end
  if code >= 0xDC00 or not find(text, "^\\u%x%x%x%x", at + 6) then return nil end
  local second = tonumber(sub(text, at + 8, at + 11), 16)
  if second < 0xDC00 or second > 0xDFFF then return nil end
  return utf8(0x10000 + (code - 0xD800) * 0x400 + second - 0xDC00), at + 12
end

-- `at` is the opening quote.
local function string_token(text, at)
  local start, pieces, count = at + 1, nil, 0
  while true do
    local stop = find(text, '["\\%z]', start)
    local mark = stop and byte(text, stop)
    if mark == 34 then
      local last = sub(text, start, stop - 1)
      if not pieces then return "T_STRING", last, stop + 1, at end
      pieces[count + 1] = last
      return "T_STRING", concat(pieces), stop + 1, at
    end
    if mark ~= 92 then
      return "T_ERROR", "unexpected end of string", nil, stop or #text + 1
    end
    pieces = pieces or {}
    pieces[count + 1] = sub(text, start, stop - 1)
    local letter = sub(text, stop + 1, stop + 1)
    if letter == "u" then
      pieces[count + 2], start = unicode_escape(text, stop)
      if not start then return "T_ERROR", "invalid unicode escape code", nil, stop end
    else
      local meant = UNESCAPES[letter]
      if not meant then return "T_ERROR", "invalid escape code", nil, stop end
      pieces[count + 2], start = meant, stop + 2
    end
    count = count + 2
  end
end

-- Whether what begins here is a number for strtod but not for JSON.
local function is_invalid_number(text, at)
  if byte(text, at) == 43 then return true end
  if byte(text, at) == 45 then at = at + 1 end
  if find(text, "^0[xX%d]", at) then return true end
  local name = lower(sub(text, at, at + 2))
  return name == "inf" or name == "nan"
end

-- The last position of the longest number that strtod would read, nothing when there is none.
local function number_end(text, at)
  local _, stop = find(text, "^[+-]?0[xX]%x+%.?%x*", at)
  if not stop then _, stop = find(text, "^[+-]?0[xX]%.%x+", at) end
  if stop then
    local _, exponent = find(text, "^[pP][+-]?%d+", stop + 1)
    return exponent or stop
  end
  _, stop = find(text, "^[+-]?%d+%.?%d*", at)
  if not stop then _, stop = find(text, "^[+-]?%.%d+", at) end
  if stop then
    local _, exponent = find(text, "^[eE][+-]?%d+", stop + 1)
    return exponent or stop
  end
  _, stop = find(text, "^[+-]?[iI][nN][fF]", at)
  if stop then
    local _, whole = find(text, "^[iI][nN][iI][tT][yY]", stop + 1)
    return whole or stop
  end
  _, stop = find(text, "^[+-]?[nN][aA][nN]", at)
  if stop then
    local _, whole = find(text, "^%([%w_]*%)", stop + 1)
    return whole or stop
  end
  return nil
end

-- What may follow a plain integer only when it is a longer number.
local LONGER = { [46] = true, [69] = true, [88] = true, [101] = true, [120] = true }

local function number_token(text, at)
  local _, stop = find(text, "^-?%d+", at)
  if not stop or LONGER[byte(text, stop + 1)] then stop = number_end(text, at) end
  if not stop then return "T_ERROR", "invalid number", nil, at end
  return "T_NUMBER", tonumber(sub(text, at, stop)), stop + 1, at
end

local function next_token(config, text, at)
  local code = byte(text, at)
  if code and code <= 32 then
    at = find(text, "[^ \t\r\n]", at) or #text + 1
    code = byte(text, at)
  end
  if not code or code == 0 then return "T_END", nil, at, at end
  local kind = PUNCTUATION[code]
  if kind then return kind, nil, at + 1, at end
  if code == 34 then return string_token(text, at) end
  if code == 45 or (code >= 48 and code <= 57) then
    if not config.decode_invalid and is_invalid_number(text, at) then
      return "T_ERROR", "invalid number", nil, at
    end
    return number_token(text, at)
  end
  if sub(text, at, at + 3) == "true" then return "T_BOOLEAN", true, at + 4, at end
  if sub(text, at, at + 4) == "false" then return "T_BOOLEAN", false, at + 5, at end
  if sub(text, at, at + 3) == "null" then return "T_NULL", null, at + 4, at end
  if config.decode_invalid and is_invalid_number(text, at) then return number_token(text, at) end
  return "T_ERROR", "invalid token", nil, at
end

local function unexpected(expected, kind, value, place)
  fail(format("Expected %s but found %s at character %d", expected, kind == "T_ERROR" and value or kind, place))
end

local decode_container

-- The value that begins with the given token, and the position behind it.
local function decode_value(config, text, depth, kind, value, after, place)
  if kind == "T_STRING" or kind == "T_NUMBER" or kind == "T_BOOLEAN" or kind == "T_NULL" then return value, after end
  if kind ~= "T_ARR_BEGIN" and kind ~= "T_OBJ_BEGIN" then unexpected("value", kind, value, place) end
  depth = depth + 1
  if depth > config.decode_depth or depth > DEEPEST + 1 then
    fail(format("Found too many nested data structures (%d) at character %d", depth, after - 1))
  end
  local container
  container, after = decode_container[kind](config, text, depth, after)
  return container, after
end

decode_container = {}

function decode_container.T_ARR_BEGIN(config, text, depth, after)
  local array, count = {}, 0
  local kind, value, stop, place = next_token(config, text, after)
  if kind == "T_ARR_END" then return array, stop end
  while true do
    value, after = decode_value(config, text, depth, kind, value, stop, place)
    count = count + 1
    array[count] = value
    kind, value, stop, place = next_token(config, text, after)
    if kind == "T_ARR_END" then return array, stop end
    if kind ~= "T_COMMA" then unexpected("comma or array end", kind, value, place) end
    kind, value, stop, place = next_token(config, text, stop)
  end
end

function decode_container.T_OBJ_BEGIN(config, text, depth, after)
  local object = {}
  local kind, value, stop, place = next_token(config, text, after)
  if kind == "T_OBJ_END" then return object, stop end
  while true do
    if kind ~= "T_STRING" then unexpected("object key string", kind, value, place) end
    local key = value
    kind, value, stop, place = next_token(config, text, stop)
    if kind ~= "T_COLON" then unexpected("colon", kind, value, place) end
    kind, value, stop, place = next_token(config, text, stop)
    value, after = decode_value(config, text, depth, kind, value, stop, place)
    object[key] = value
    kind, value, stop, place = next_token(config, text, after)
    if kind == "T_OBJ_END" then return object, stop end
    if kind ~= "T_COMMA" then unexpected("comma or object end", kind, value, place) end
    kind, value, stop, place = next_token(config, text, stop)
  end
end

-- Settings.

local function at_most(limit, ...)
  if select("#", ...) > limit then argument_error(limit + 1, "found too many arguments") end
end

local function switch(index, value, current, third)
  if value == nil then return current end
  if type(value) == "boolean" then return value end
  local word = text_argument(index, index, value)
  if word == "on" then return true end
  if word == "off" then return false end
  if word ~= third then argument_error(index, "invalid option '" .. word .. "'") end
  return word
end

local function bounded(index, value, current, least, greatest)
  if value == nil then return current end
  value = to_int32(number_argument(index, index, value))
  if value < least or value > greatest then
    argument_error(1, format("expected integer between %d and %d", least, greatest))
  end
  return value
end

local function new()
  local config = { convert = false, ratio = 2, safe = 10, encode_depth = 1000, decode_depth = 1000, keep = true,
    precision = 14, number_format = "%.14g", encode_invalid = false, decode_invalid = true }
  local cjson = { null = null, _NAME = "cjson", _VERSION = "2.1.0" }

  function cjson.encode(...)
    if select("#", ...) ~= 1 then argument_error(1, "expected 1 argument") end
    local out = {}
    encode_value(config, out, 0, (...), 0)
    return concat(out)
  end

  function cjson.decode(...)
    if select("#", ...) ~= 1 then argument_error(1, "expected 1 argument") end
    local text = text_argument(1, 1, (...))
    if #text >= 2 and (byte(text, 1) == 0 or byte(text, 2) == 0) then
      fail("JSON parser does not support UTF-16 or UTF-32")
    end
    local result, after = decode_value(config, text, 0, next_token(config, text, 1))
    local kind, value, _, place = next_token(config, text, after)
    if kind ~= "T_END" then unexpected("the end", kind, value, place) end
    return result
  end

  function cjson.encode_sparse_array(...)
    at_most(3, ...)
    local convert, ratio, safe = ...
    config.convert = switch(1, convert, config.convert)
    config.ratio = bounded(2, ratio, config.ratio, 0, 2^31 - 1)
    config.safe = bounded(3, safe, config.safe, 0, 2^31 - 1)
    return config.convert, config.ratio, config.safe
  end

  function cjson.encode_max_depth(...)
    at_most(1, ...)
    config.encode_depth = bounded(1, (...), config.encode_depth, 1, 2^31 - 1)
    return config.encode_depth
  end

  function cjson.decode_max_depth(...)
    at_most(1, ...)
    config.decode_depth = bounded(1, (...), config.decode_depth, 1, 2^31 - 1)
    return config.decode_depth
  end

  function cjson.encode_number_precision(...)
    at_most(1, ...)
    config.precision = bounded(1, (...), config.precision, 1, 14)
    config.number_format = "%." .. config.precision .. "g"
    return config.precision
  end

  -- Nothing is kept between calls here; only the setting is.
  function cjson.encode_keep_buffer(...)
    at_most(1, ...)
    config.keep = switch(1, (...), config.keep)
    return config.keep
  end

  function cjson.encode_invalid_numbers(...)
    at_most(1, ...)
    config.encode_invalid = switch(1, (...), config.encode_invalid, "null")
    return config.encode_invalid
  end

  function cjson.decode_invalid_numbers(...)
    at_most(1, ...)
    config.decode_invalid = switch(1, (...), config.decode_invalid)
    return config.decode_invalid
  end

  cjson.new = new
  return export(cjson)
end

return new()
