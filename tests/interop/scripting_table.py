"""Scripts that a real redis-server and ours must answer alike, to the byte, by what they are about.

The keyspace of the tests: ``s`` holds a string, ``h`` a hash, ``st`` a set, ``z`` a sorted set.
"""

from __future__ import annotations

#: What a script sees, and what it cannot change.
SANDBOX = (
    "local t={} for k,v in pairs(redis) do t[#t+1]=tostring(k)..':'..type(v) end table.sort(t) "
    "return table.concat(t,' ')",
    "local t={} for k,v in pairs(string) do t[#t+1]=tostring(k)..':'..type(v) end "
    "table.sort(t) return table.concat(t,' ')",
    "local t={} for k,v in pairs(table) do t[#t+1]=tostring(k)..':'..type(v) end table.sort(t) "
    "return table.concat(t,' ')",
    "local t={} for k,v in pairs(math) do t[#t+1]=tostring(k)..':'..type(v) end table.sort(t) "
    "return table.concat(t,' ')",
    "local t={} for k,v in pairs(coroutine) do t[#t+1]=tostring(k)..':'..type(v) end "
    "table.sort(t) return table.concat(t,' ')",
    "local t={} for k,v in pairs(bit) do t[#t+1]=tostring(k)..':'..type(v) end table.sort(t) "
    "return table.concat(t,' ')",
    "local t={} for k,v in pairs(cjson) do t[#t+1]=tostring(k)..':'..type(v) end table.sort(t) "
    "return table.concat(t,' ')",
    "local t={} for k,v in pairs(cmsgpack) do t[#t+1]=tostring(k)..':'..type(v) end "
    "table.sort(t) return table.concat(t,' ')",
    "local t={} for k,v in pairs(struct) do t[#t+1]=tostring(k)..':'..type(v) end "
    "table.sort(t) return table.concat(t,' ')",
    "local t={} for k,v in pairs(_G) do t[#t+1]=tostring(k)..':'..type(v) end table.sort(t) return table.concat(t,' ')",
    "local t={} for k,v in pairs(os) do t[#t+1]=tostring(k)..':'..type(v) end table.sort(t) return table.concat(t,' ')",
    "local t={} for k,v in pairs(debug) do t[#t+1]=tostring(k)..':'..type(v) end table.sort(t) "
    "return table.concat(t,' ')",
    "return rawset({},nil,1)", "return rawset({},1)", "return KEYS[1]", "return #KEYS..#ARGV", "KEYS=nil",
    "ARGV[1]='x' return ARGV", "return _G==_G._G", "return _G.redis==redis", "return rawget(_G,'redis')==redis",
    "return rawget(_G,'nope')", "return _G.nope", "return _G['nope']", "_G.nope=1", "return type(_G)",
    "for k in pairs(_G) do if k=='nope' then return 1 end end", "return #_G", "setmetatable(_G,nil)",
    "setmetatable(string,nil)", "string.x=1", "getmetatable('').x=1", "return type(getmetatable(_G))",
    "getmetatable(_G).__index=1", "rawset(string,'x',1)", "cjson.x=1", "goto=1", "return os", "return io",
    "return package", "return require", "return dofile", "return newproxy", "return getfenv", "return setfenv",
    "return module", "return python", "return debug", "return loadfile",
)

#: Errors of all kinds, with their places.
ERRORS = (
    "error({err='foo'})", "error({err='My Error'})", "error({err='-ERR My Error'})", "error(12)", "return pcall()",
    "return xpcall(1)", "return xpcall()", "return {xpcall(error,print)}", "return nope.x", "local x x()",
    "string.nope()", "return loadstring(1)", "return loadstring()", "return loadstring({})", "return load('x')",
    "coroutine.wrap(function() error('x') end)()", "coroutine.wrap(function() error({err='x y'}) end)()", "assert(false)",
    "assert(false,'msg')", "assert(nil,{err='x y'})", "assert(1==2,'a','b')", "return assert(1,2)",
    "local ok,e=pcall(cjson.decode,'{') return e", "local a=1\nerror('x')", "local a=1\nlocal b = a.b.c", "\n\nx=1",
    "local f = function()\n  error({err='E x'})\nend\n\nf()", "\n\nreturn cjson.decode('x')", "\nreturn tonumber({}, {})",
    "return (\nnope\n)", "local r={xpcall(function() error('q') end, function(e) return e end)} return r[2]",
    "return loadstring('return 1+1')()", "local f,e=loadstring('x x') return e",
    "local f,e=loadstring('x x','=n') return e", "local f,e=loadstring('x x','@n') return e",
    "loadstring('error(1)','@file')()", "loadstring('x=1')()", "loadstring('return nope')()",
    "local i=0 return load(function() i=i+1 return ({'return ','1+','2'})[i] end)()",
    "local f,e=loadstring('\\27Lua') return e", "local f,e=loadstring(string.dump(function() return 1 end)) return e",
    "local f=loadstring(string.dump(function() return 1 end)) return f()",
    "return ('x'):gsub('.',function() error('in') end)", "return ('x'):gsub('.',function() error({err='E in'}) end)",
    "return pcall(string.find,'x','[')", "return {pcall(string.find,'x','[')}", "return select(2,pcall(string.rep))",
    "return select(2,pcall(function() return ('x'):find() end))", "\n\nreturn ('x'):find('[')",
)

#: Lua's own functions, and their errors as clients see them.
LUA = (
    "x y z", "return (", "local a = {}; return a.b.c", "return 'a'..{}", "return pairs()", "for k,v in pairs(5) do end",
    "for k,v in ipairs(nil) do end", "return next(nil)", "return next({},'x')", "return getmetatable()",
    "return rawget(1,2)", "return rawget({})", "return rawequal(1)", "return tonumber()", "return tostring()",
    "return select(0)", "return unpack(1)", "return ('x'):rep(-1)", "return string.rep()", "return string.find('x')",
    "return string.find()", "return ('x'):find()", "return string.find({},1)", "return ('x'):find(nil)",
    "return string.gsub('x','(','y')", "return ('x'):gsub('x',1,'z')", "return ('x'):gsub('x',true)",
    "return string.match('x','[')", "local f=string.find return f({},1)", "local a={} return a.x.y", "return #5",
    "return 'a'<1", "return -{}", "local t={} t.x()", "return coroutine.wrap(1)", "return coroutine.yield(1)",
    "return coroutine.running()",
    "local co=coroutine.create(function(a) local b=coroutine.yield(a+1) return b*2 end) return "
    "{select(2,coroutine.resume(co,1)),select(2,coroutine.resume(co,5)),coroutine.status(co)}",
    "return coroutine.resume(1)", "return coroutine.status(1)", "return collectgarbage('x')",
    "return collectgarbage('count')>1", "return gcinfo()>1", "return math.random(0)", "return math.random(5,1)",
    "return math.random(1,2,3)", "return math.random('x')", "return math.random({})", "return math.randomseed()",
    "math.randomseed('7') return {math.random(100),math.random(100)}",
    "math.randomseed(-5) return {math.random(1000000),math.random(1000000)}",
    "math.randomseed(1e10) return math.random(1000000)",
    "math.randomseed(3) return {math.random(-5,5),math.random(10.7),math.random(2.5,7.9)}",
    "return table.concat({1,{},3})", "return table.insert(nil,1)", "return table.insert({},1,2,3)",
    "table.sort({3,1,'x'})", "return table.getn({1,2})", "table.setn({},1)",
    "return table.foreach({a=1},function(k,v) return k end)", "return string.format('%d','x')",
    "return string.format('%5.2f|%q|%s',1.234,'a\\nb',nil)", "return string.char(256)", "return ('x'):bad()",
    "return (5):bad()", "return tostring(nil)..tostring(true)..tostring(1e100)..tostring(2^53)..tostring(0.1)",
    "local c=0 for k in next,redis do c=c+1 end return c", "local c=0 for k in pairs(string) do c=c+1 end return c",
    "return getmetatable('').__index==string", "return ('x').len==string.len", "return getmetatable(redis)",
    "table.sort(redis)", "return bit.band(7,3)", "return struct.pack('>I',1)",
    "return cmsgpack.unpack(cmsgpack.pack({1,2}))", "return cjson.null==cjson.decode('null')",
    "return tostring(cjson.null)", "return cjson.decode('{')", "local x = cjson.decode('[') return x",
    "return __redis__err__handler('x')", "return __redis__err__handler({err='a b'})", "return",
    "return ('x'):find(('x'),{})", "local s='x' return s:rep({})", "return ('x'):gsub('.',function() return {} end)",
    "return ('x'):gsub('.',{x={}})", "return ('xx'):gsub('x','%2')", "return string.gsub('hello world','o','0',1)",
    "local t={} for w in ('a b c'):gmatch('%a') do t[#t+1]=w end return t", "return ('x').y.z",
)

#: The library `redis`.
REDIS = (
    "return redis.error_reply('foo')", "return redis.error_reply('-foo bar')", "return redis.error_reply('FOO bar baz')",
    "return redis.error_reply(1)", "return redis.error_reply()", "return redis.error_reply({})",
    "return redis.error_reply('')", "return redis.status_reply('foo')", "return redis.status_reply('foo','x')",
    "return redis.sha1hex('')", "return redis.sha1hex()", "return redis.sha1hex(12)", "return redis.sha1hex({})",
    "return redis.log()", "return redis.log('x','y')", "return redis.log(9,'y')", "return redis.log(1,'y','z',1)",
    "return redis.setresp()", "return redis.setresp(4)", "return redis.setresp('x')", "return redis.set_repl()",
    "return redis.set_repl(9)", "return redis.replicate_commands()", "return redis.breakpoint()",
    "return redis.debug('x')", "return redis.acl_check_cmd()", "return redis.acl_check_cmd('nope')",
    "return redis.acl_check_cmd('set','a','b')", "return redis.acl_check_cmd('set')", "return redis.register_function",
    "redis.setresp(3); return true", "redis.setresp(3); return false", "redis.setresp(3); return nil",
    "redis.setresp(3); return {double=1.5}", "redis.setresp(3); return {double='x'}",
    "redis.setresp(3); return {map={a=1}}", "redis.setresp(3); return {set={a=true}}",
    "redis.setresp(3); return {big_number='123'}",
    "redis.setresp(3); return {verbatim_string={format='txt',string='abc'}}",
    "redis.setresp(3); return {verbatim_string={string='abc'}}", "redis.setresp(3); return {true,false}",
    "redis.setresp(3); return 3.99", "redis.setresp(3); return {map={}}", "redis.setresp(3); return {map=1}",
    "redis.setresp(3); return {set={}}", "redis.setresp(3); return {ok='a\\r\\nb'}",
    "redis.setresp(3); return {err='a\\r\\nb'}", "redis.setresp(3); return {err=1}",
    "redis.setresp(3); return {err='x',ok='y'}", "redis.setresp(3); return {big_number='12\\r\\n'}",
    "redis.setresp(3); return {big_number=12}", "redis.setresp(3); return {double=1e300}",
    "redis.setresp(3); return {double=1/0}", "redis.setresp(3); return {map={a={ok='x'},[1]=2}}",
    "redis.setresp(3); return {null=1}", "redis.nope()", "return redis.error_reply('foo bar')",
    "return redis.error_reply('-foo')", "return redis.error_reply('a\\r\\nb')", "return redis.error_reply('foo\\n')",
    "return redis.status_reply(1)", "return redis.status_reply()", "return redis.status_reply({})",
    "return redis.status_reply('a\\r\\nb')", "return redis.error_reply('My Err').err",
    "return redis.error_reply('x').err", "return redis.sha1hex('abc')", "return redis.sha1hex(nil)",
    "return redis.log(redis.LOG_DEBUG,'x')", "return redis.log('1','y')", "return redis.setresp('3')",
    "return redis.setresp(3.5)", "return redis.set_repl('x')", "return redis.set_repl(redis.REPL_NONE)",
    "return redis.set_repl(-1)", "return redis.set_repl(1.5)", "return redis.acl_check_cmd('get')",
    "return redis.acl_check_cmd('get',{})", "return redis.acl_check_cmd('config|get','x')",
    "return redis.acl_check_cmd('config','nope')", "return redis.LOG_WARNING", "return redis.REPL_ALL",
    "return redis.debug()", "return redis.replicate_commands(1)", "return redis.error_reply('-')",
    "return redis.error_reply('- a')", "return redis.error_reply('--a b')", "return redis.error_reply(' ')",
)

#: Commands from scripts.
CALLS = (
    "return redis.call()", "return redis.call(1)", "return redis.call('nope',1)", "return redis.pcall('nope',1)",
    "return redis.call('get')", "return redis.call('get',{})", "return redis.call('get',nil)",
    "return redis.call('get',true)", "return redis.call('multi')", "return redis.call('eval','return 1','0')",
    "return redis.call('subscribe','x')", "return redis.call('config')", "return redis.call('config','nope')",
    "return redis.call('config','get','maxmemory')", "return redis.call('lpush','l',1.5)",
    "return redis.call('lrange','l',0,-1)", "return redis.call('incr','l')", "return {pcall(redis.call,'incr','l')}",
    "local ok,e=pcall(redis.call,'incr','l') local t={} for k,v in pairs(e) do "
    "t[#t+1]=k..'='..tostring(v) end return t",
    "local e=redis.pcall('incr','l') local t={} for k,v in pairs(e) do t[#t+1]=k..'='..tostring(v) end return t",
    "local e=redis.pcall('nope','l') local t={} for k,v in pairs(e) do t[#t+1]=k..'='..tostring(v) end return t",
    "local e=redis.pcall('get') local t={} for k,v in pairs(e) do t[#t+1]=k..'='..tostring(v) end return t",
    "local e=redis.pcall('get',{}) local t={} for k,v in pairs(e) do t[#t+1]=k..'='..tostring(v) end return t",
    "local e=redis.pcall('multi') local t={} for k,v in pairs(e) do t[#t+1]=k..'='..tostring(v) end return t",
    "local function f() return redis.call('incr','l') end \nreturn f()",
    "return {xpcall(function() redis.call('incr','s') end, function(e) return type(e) end)}",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('hgetall','h'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return d(redis.call('hgetall','h'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('smembers','st'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return d(redis.call('smembers','st'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('zscore','z','m'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return d(redis.call('zscore','z','m'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('get','nope'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return d(redis.call('get','nope'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('zrange','z',0,-1,'withscores'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return "
    "d(redis.call('zrange','z',0,-1,'withscores'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('debug','protocol','bignum'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return "
    "d(redis.call('debug','protocol','bignum'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('exists','s'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return d(redis.call('exists','s'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('lrange','nope',0,-1))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return "
    "d(redis.call('lrange','nope',0,-1))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('blpop','nope',1))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return d(redis.call('blpop','nope',1))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('ping'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return d(redis.call('ping'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('ping','x'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return d(redis.call('ping','x'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('mget','a','s'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return d(redis.call('mget','a','s'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('set','q','1'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return d(redis.call('set','q','1'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('type','s'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return d(redis.call('type','s'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('exec'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return d(redis.call('exec'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('wait','1','0'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return d(redis.call('wait','1','0'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('hello'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return d(redis.call('hello'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('debug','protocol','verbatim'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return "
    "d(redis.call('debug','protocol','verbatim'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('debug','protocol','attrib'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return "
    "d(redis.call('debug','protocol','attrib'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('debug','protocol','true'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return "
    "d(redis.call('debug','protocol','true'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('debug','protocol','null'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return "
    "d(redis.call('debug','protocol','null'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('debug','protocol','double'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return "
    "d(redis.call('debug','protocol','double'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('debug','protocol','set'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return "
    "d(redis.call('debug','protocol','set'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('debug','protocol','map'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return "
    "d(redis.call('debug','protocol','map'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end return d(redis.call('debug','protocol','push'))",
    "local function d(v) if type(v)~='table' then return type(v)..':'..tostring(v) end local "
    "t={} for k,x in pairs(v) do t[#t+1]=tostring(k)..'='..d(x) end table.sort(t) return "
    "'{'..table.concat(t,',')..'}' end redis.setresp(3) return "
    "d(redis.call('debug','protocol','push'))",
    "coroutine.wrap(function() redis.call('incr','s') end)()", "return redis.pcall()", "return redis.pcall({})",
    "return redis.pcall('get',{})", "return redis.pcall('get','a','b')", "return redis.pcall('eval','x',0)",
    "local e=redis.pcall('incr','s') return e.err", "local e=redis.pcall('incr','s') return e",
    "local e=redis.pcall('incr','s') error(e)", "local ok,e=pcall(redis.call,'incr','s') error(e)",
    "local ok,e=pcall(redis.call,'incr','s') error(e,0)", "local ok,e=pcall(redis.call,'incr','s') return {err=e}",
    "return {redis.call('set','a','1'),redis.call('get','a')}", "return redis.call('SeT','a','1')",
    "return redis.call('hmget','h','a','nope')", "return redis.call('exists','a','b')", "return redis.call('type','a')",
    "return redis.call('script','load','x')", "return redis.call('script','exists','x')",
    "return redis.call('publish','c','m')", "return redis.call('select',1)",
    "redis.call('select',1) redis.call('set','in1','x') return redis.call('get','in1')", "return redis.call('get','in1')",
    "return redis.call('move','a',3)", "return redis.call('watch','a')", "return redis.call('auth','x')",
    "return redis.call('blpop','l',0)", "return redis.call('xread','block',0,'streams','x','$')",
    "return redis.call('xread','streams','x','0')", "return redis.call('xadd','x','1-1','a','b')",
    "return redis.call('xrange','x','-','+')", "return redis.call('xinfo','stream','x')",
    "redis.setresp(3) return redis.call('xinfo','stream','x').map.length",
    "redis.setresp(3) return redis.call('xread','streams','x','0')", "redis.setresp(3) return redis.call('hgetall','h')",
    "redis.setresp(3) return redis.call('smembers','st')",
    "redis.setresp(3) return redis.call('zrange','z',0,-1,'withscores')",
    "redis.setresp(3) return redis.call('zscore','z','m')", "redis.setresp(3) return redis.call('zscore','z','nope')",
    "redis.setresp(3) return redis.call('zmscore','z','m','q')", "redis.setresp(3) return redis.call('geopos','z','q')",
    "return redis.call('geopos','z','q')", "return redis.call('zrandmember','z',2,'withscores')",
    "return redis.call('lmpop',1,'nope','left')", "return redis.call('lmove','nope','x2','left','left')",
    "return redis.call('sort','st')", "return redis.call('sort','st','by','nosort')",
    "return redis.call('sort','st','store','q')", "return redis.call('role')[1]", "return redis.call('wait',0,0)",
    "return redis.call('hello',3)", "return redis.call('reset')", "return redis.call('psync','?',-1)",
    "return redis.call('replconf','x')", "return redis.call('acl','whoami')", "return redis.call('config','get','x')",
    "return redis.call('memory','usage','s')>0", "return redis.call('pubsub','channels')",
    "return redis.call('spublish','c','m')", "return redis.call('swapdb',0,1)", "return redis.call('flushall')",
    "return redis.call('dbsize')", "return redis.call('getex','s')", "return redis.call('object','freq','s')",
    "return redis.call('dump','nope')", "return redis.call('restore','r',0,'bad')", "return redis.call('cluster','info')",
    "return redis.call('cluster','nope')", "return redis.call('xautoclaim','x','g','c',0,0)",
    "return redis.call('function','list')", "return redis.call('fcall','x',0)", "return redis.call('keys','*')",
    "return redis.call('scan',0)[1]", "return redis.call('echo','x')", "return redis.call('echo',1.0)",
    "return redis.call('echo',100000000000000000000)", "return redis.call('echo',3.3)", "return redis.call('echo',-5)",
    "return redis.call('echo',123456789012345678)", "redis.call=1", "return redis.call",
    "\nlocal x = 1\nreturn redis.call('incr','s')",
    "local function f()\n return redis.call('incr','s')\nend\nlocal x = f()\nreturn x",
    "local call = redis.call\n\nreturn call('incr','s')", "local t = {\n redis.call('get'),\n}",
    "return pcall(redis.call,\n'get')", "\nreturn redis.pcall(\n'incr','s')",
    "if true then\n  redis.call('incr','s')\nend", "for i=1,3 do\n  if i==2 then redis.call('incr','s') end\nend",
    "return xpcall(function() redis.call('incr','s') end, function(e) return e.err end)",
    "return {xpcall(function() redis.call('incr','s') end, function(e) return e.err end)}",
    "\nassert(redis.call('incr','s'))", "\nassert(redis.pcall('incr','s').ok)",
    "\nassert(false, redis.pcall('incr','s').err)", 'return loadstring(\'return redis.call("incr","s")\')()',
    "redis.call('set','s','x') return redis.breakpoint()",
)

#: Lua values as replies.
REPLIES = (
    "return {err='foo'}", "return {err=''}", "return {err='-x y z'}", "return {ok=1}", "return {1,2,nil,3}",
    "return {1.9,-1.9,1e300,0/0,true,false,'x',{ok='a'},{err='b'}}",
    "return setmetatable({},{__index=function() return 'x' end})",
    "return setmetatable({},{__index=function() return 5 end})", "return true", "return false", "return nil",
    "return {double=1.5}", "return {double='x'}", "return {map={a=1}}", "return {set={a=true}}",
    "return {big_number='123'}", "return {verbatim_string={format='txt',string='abc'}}",
    "return {verbatim_string={string='abc'}}", "return {true,false}", "return 3.99", "return {map={}}", "return {map=1}",
    "return {set={}}", "return {ok='a\\r\\nb'}", "return {err='a\\r\\nb'}", "return {err=1}", "return {err='x',ok='y'}",
    "return {big_number='12\\r\\n'}", "return {big_number=12}", "return {double=1e300}", "return {double=1/0}",
    "return {map={a={ok='x'},[1]=2}}", "return {null=1}", "return {pairs(nil)}", "return setmetatable(1,{})",
    "return setmetatable({},1)", "return setmetatable({})", "return 1 .. {}", "return {}..'x'", "return 1+{}",
    "return {}<{}", "return {load(5)}", "return coroutine.create(1)",
    "return {coroutine.resume(coroutine.create(function() error('x') end))}",
    "return {coroutine.resume(coroutine.create(function() error({err='x'}) end))}", "return 2^53", "return 1e15",
    "return -1.5", "return 9007199254740993", "return {KEYS,ARGV}", "return {cjson.null}", "return {1,2,3,nil,5}",
    "return {{1,{2,{3}}},'x'}", "return {a=1}", "return {1,a=2}", "return {[0]=1,[1]=2}", "return function() end",
    "return coroutine.create(function() end)", "return {function() end,1}", "return {ok='x',1,2}", "return {err='x',1,2}",
    "return {err={},1}", "return {ok=true,1}", "return 1,2,3", "return nil,1", "return ''", "return '\\0\\r\\n'",
    "return {true,false,nil,1}", "return {1,false,3}", "return {nil,1}", "return {double=5}", "return {double=-0.0}",
    "return {double=0/0}", "return {double=0.1}", "return {map={1,2}}", "return {map={[true]=false}}",
    "return {set={1,2}}", "return {map={a={map={}}}}",
    "return {verbatim_string={format='abcdef',string='x'}}", "return {verbatim_string={format='a',string='x'}}",
    "return {verbatim_string={format='txt',string=''}}", "return {verbatim_string='x'}",
    "return {('key=val'):match('(%w+)=(%w+)')}",
)

#: Scripts with a first line of flags.
SHEBANGS = (
    "#!lua\nreturn 1", "#!lua flags=no-writes\nreturn redis.call('set','a','b')", "#!lua flags=no-writes,nope\nreturn 1",
    "#!lua name=x\nreturn 1", "#!foo\nreturn 1", "#!lua flags=\nreturn 1", "#!lua", "#!lua bar=1\nreturn 1",
    "#!\nreturn 1", "#! lua\nreturn 1", "#!lua flags=allow-stale flags=no-writes\nreturn 1",
    "#!lua flags=no-writes, allow-oom\nreturn 1", "#!lua flags=no-cluster,allow-cross-slot-keys\nreturn 1",
    "#!lua 'flags=no-writes\nreturn 1", "#!lua\nfoo bar", "#!lua\n\nreturn nope", "#!LUA\nreturn 1",
    "#!lua FLAGS=no-writes\nreturn 1", "#!lua\nreturn redis.call('set','a','b')", "#!lua\nreturn redis.call('nope')",
    "#!lua flags=allow-oom\nreturn 1", "#!lua \nreturn 1", "#!lua\treturn 1", "#!lua x\nreturn 1",
    "#!lua flags=a b\nreturn 1", "#!lua  flags=no-writes\nreturn redis.call('get','s')",
    "#!lua flags=no-writes,\nreturn 1", "#!lua flags=,no-writes\nreturn 1", "#!lua flags=no-writes,no-writes\nreturn 1",
    "#!", "#!\n", "#!lua\r\nreturn 1", '#!lua "flags=no-writes"\nreturn redis.call(\'set\',\'a\',\'b\')',
    " #!lua\nreturn 1", "-- x\n#!lua\n",
)
